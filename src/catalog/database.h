/* Connections and statements of SQLite, with errors that name the catalog file. */
#ifndef RBC_CATALOG_DATABASE_H
#define RBC_CATALOG_DATABASE_H

#include <sqlite3.h>
#include <stdbool.h>

#include <robocache/robocache.h>

typedef enum rbc__database_mode {
    RBC__DATABASE_READ = 0,  /* must exist; takes no locks: finished catalogs are never written */
    RBC__DATABASE_WRITE = 1, /* made when it does not exist */
} rbc__database_mode;

/* A connection for one thread at a time. IO, FORMAT (no SQLite file), OUT_OF_MEMORY. */
rbc_status rbc__database_open(const char *path, rbc__database_mode mode, sqlite3 **out,
                              rbc_error *err);
void rbc__database_close(sqlite3 **db);

/* Turns the connection's last error into a status, and a message "catalog 'path': doing: words of
 * SQLite". A full disk is RBC_ERROR_IO, a damaged file RBC_ERROR_FORMAT. */
rbc_status rbc__database_fail(sqlite3 *db, rbc_error *err, const char *doing);

/* Statements that return no rows. */
rbc_status rbc__database_exec(sqlite3 *db, const char *sql, const char *doing, rbc_error *err);

/* The first column of the first row; 0 where there is none. */
rbc_status rbc__database_integer(sqlite3 *db, const char *sql, int64_t *out, rbc_error *err);

rbc_status rbc__statement_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, rbc_error *err);
/* `row` false: there is none left. */
rbc_status rbc__statement_step(sqlite3_stmt *statement, bool *row, rbc_error *err);
/* Runs a statement that returns no row and makes it ready for the next bindings. */
rbc_status rbc__statement_run(sqlite3_stmt *statement, rbc_error *err);
void rbc__statement_finish(sqlite3_stmt **statement);

#endif
