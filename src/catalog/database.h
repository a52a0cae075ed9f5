/* Connections and statements of SQLite, with errors that name the catalog file.
 *
 * What a file holds may have been made up by anybody: nothing in it is run (no triggers, no
 * functions with effects, no writing behind the back of full-text tables), values are limited in
 * size, and statements end when the connection's watch says so. */
#ifndef RBC_CATALOG_DATABASE_H
#define RBC_CATALOG_DATABASE_H

#include <sqlite3.h>
#include <stdbool.h>

#include <robocache/robocache.h>

#include "catalog/watch.h"

/* No value of a catalog is larger, nor text of its schema. */
#define RBC__DATABASE_MAX_VALUE  (256 << 20)
#define RBC__DATABASE_MAX_SCHEMA (16 << 10)

/* A connection for one thread at a time. `watch` (NULL allowed) outlives it. IO, FORMAT (damaged),
 * OUT_OF_MEMORY, CANCELLED. Reading takes no locks, for finished catalogs are never written, and
 * reads the file that is open as `fd`, which outlives the connection; `path` is what messages name. */
rbc_status rbc__database_read(int fd, const char *path, rbc__watch *watch, sqlite3 **out,
                              rbc_error *err);
/* Made when it does not exist; no part of the path may be a link. */
rbc_status rbc__database_write(const char *path, rbc__watch *watch, sqlite3 **out, rbc_error *err);
void rbc__database_close(sqlite3 **db);

/* Turns the connection's last error into a status, and a message "catalog 'path': doing: words of
 * SQLite". A full disk is RBC_ERROR_IO; a damaged file, and one that does not hold what the
 * statements of this library expect, is RBC_ERROR_FORMAT. */
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
