/* Users' SQL expressions over the episodes.
 *
 * An expression is run on a connection of its own, opened read-only, whose authorizer admits the
 * columns of the view `episode` and functions, and nothing else. That the text is one complete
 * expression is seen by compiling it in two places: behind WHERE, where "1) OR (1" fails, and
 * within parentheses, where "1 ORDER BY 2" and "1; DELETE ..." fail; only an expression is valid in
 * both. */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/catalog.h"
#include "catalog/database.h"
#include "catalog/expression.h"
#include "catalog/text_set.h"
#include "catalog/where_metadata.h"
#include "core/error.h"

#define VIEW "episode"

/* Of a value, task texts included, of the expression, and of a LIKE or GLOB pattern. */
#define MAX_TEXT_BYTES       (16 << 10)
#define MAX_EXPRESSION_BYTES (512 << 10)
#define MAX_PATTERN_BYTES    1024

#define QUOTED_BYTES 200 /* of an expression, in messages */

typedef struct expression_guard {
    int selects; /* SELECTs that are not the view's own */
} expression_guard;

/* `within` names the view whose definition is being compiled, NULL for the statement itself. */
static int authorize(void *user, int action, const char *first, const char *second,
                     const char *schema, const char *within) {
    expression_guard *guard = user;
    (void)schema;
    const bool in_view = within != NULL && strcmp(within, VIEW) == 0;
    switch (action) {
    case SQLITE_SELECT:
        return in_view || ++guard->selects == 1 ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_READ:
        if (in_view || (second != NULL && second[0] == '\0')) {
            return SQLITE_OK; /* no column named: the table is part of the view, nothing is read */
        }
        return within == NULL && first != NULL && strcmp(first, VIEW) == 0 && second != NULL &&
                       sqlite3_stricmp(second, "ROWID") != 0
                   ? SQLITE_OK
                   : SQLITE_DENY;
    case SQLITE_FUNCTION:
        return second != NULL && sqlite3_stricmp(second, "load_extension") == 0 ? SQLITE_DENY
                                                                                : SQLITE_OK;
    default:
        return SQLITE_DENY;
    }
}

static rbc_status refuse(sqlite3 *db, const char *where, rbc_error *err) {
    const int code = sqlite3_errcode(db);
    if (code != SQLITE_ERROR && code != SQLITE_AUTH && code != SQLITE_TOOBIG &&
        code != SQLITE_MISMATCH && code != SQLITE_RANGE) {
        return rbc__database_fail(db, err, "where");
    }
    char limits[128] = "";
    if (code == SQLITE_TOOBIG) {
        snprintf(limits, sizeof limits, " (texts may have %d bytes, the expression %d)",
                 MAX_TEXT_BYTES, MAX_EXPRESSION_BYTES);
    }
    return rbc__fail(
        err, RBC_ERROR_INVALID_ARGUMENT,
        "where '%.*s%s': %s%s%s; wanted is one SQL expression over id, split, task, "
        "num_steps, bytes, file, record and metadata.KEY, such as task MATCH 'drawer' AND "
        "num_steps >= 10",
        QUOTED_BYTES, where, strlen(where) > QUOTED_BYTES ? "..." : "", sqlite3_errmsg(db),
        code == SQLITE_AUTH ? " (subqueries and other tables are not admitted)" : "", limits);
}

/* The line end lets a comment at the end of `where` end there too. */
static rbc_status compile(sqlite3 *db, expression_guard *guard, const char *before,
                          const char *where, const char *behind, sqlite3_stmt **out,
                          rbc_error *err) {
    char *sql = NULL;
    char *expression = rbc__expression_with_calls(where);
    const int length =
        expression != NULL ? asprintf(&sql, "%s%s\n%s", before, expression, behind) : -1;
    free(expression);
    if (length < 0) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "where: out of memory");
    }
    guard->selects = 0;
    const char *tail = NULL;
    rbc_status status = RBC_OK;
    if (sqlite3_prepare_v2(db, sql, -1, out, &tail) != SQLITE_OK) {
        status = refuse(db, where, err);
    } else if (tail[strspn(tail, " \t\r\n")] != '\0' || sqlite3_bind_parameter_count(*out) != 0) {
        status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "where '%.*s': %s", QUOTED_BYTES, where,
                           sqlite3_bind_parameter_count(*out) != 0
                               ? "parameters such as ? have no value here"
                               : "text behind the end of the expression");
    }
    free(sql);
    if (status != RBC_OK) {
        rbc__statement_finish(out);
    }
    return status;
}

static void free_set(void *set) {
    rbc__text_set_free(set);
    free(set);
}

/* Whether the full-text index answers at all; an error is then the pattern's. */
static bool has_sound_words(sqlite3 *words) {
    return sqlite3_exec(words, "SELECT rowid FROM task_words WHERE task_words MATCH 'a' LIMIT 1",
                        NULL, NULL, NULL) == SQLITE_OK;
}

/* All task texts that the full-text pattern finds; NULL after reporting a failure. */
static rbc__text_set *find_tasks(sqlite3_context *context, sqlite3 *words, const char *pattern) {
    static const char sql[] = "SELECT text FROM tasks WHERE id IN"
                              " (SELECT rowid FROM task_words WHERE task_words MATCH ?)";
    rbc__text_set *set = calloc(1, sizeof *set);
    sqlite3_stmt *select = NULL;
    int code = set != NULL ? sqlite3_prepare_v2(words, sql, -1, &select, NULL) : SQLITE_NOMEM;
    if (code == SQLITE_OK) {
        sqlite3_bind_text(select, 1, pattern, -1, SQLITE_STATIC);
        while ((code = sqlite3_step(select)) == SQLITE_ROW) {
            const char *text = (const char *)sqlite3_column_text(select, 0);
            if (text != NULL && !rbc__text_set_add(set, text)) {
                code = SQLITE_NOMEM;
                break;
            }
        }
    }
    sqlite3_finalize(select);
    if (code == SQLITE_DONE) {
        return set;
    }
    if (code == SQLITE_NOMEM) {
        sqlite3_result_error_nomem(context);
    } else {
        char *message = sqlite3_mprintf("%s", sqlite3_errmsg(words));
        code = code != SQLITE_ERROR || has_sound_words(words) ? code : SQLITE_CORRUPT;
        sqlite3_result_error(context, message != NULL ? message : "", -1);
        sqlite3_result_error_code(context, code);
        sqlite3_free(message);
    }
    if (set != NULL) {
        free_set(set);
    }
    return NULL;
}

/* `task MATCH 'pattern'` calls match('pattern', task). The texts that match are looked up once for
 * a pattern, so that MATCH may stand anywhere in an expression, behind NOT and OR too. */
static void match(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    const char *pattern = (const char *)sqlite3_value_text(values[0]);
    const char *text = (const char *)sqlite3_value_text(values[1]);
    if (pattern == NULL || text == NULL) {
        return;
    }
    const rbc__text_set *found = sqlite3_get_auxdata(context, 0);
    if (found != NULL) {
        sqlite3_result_int(context, rbc__text_set_has(found, text));
        return;
    }
    rbc__text_set *set = find_tasks(context, sqlite3_user_data(context), pattern);
    if (set != NULL) {
        sqlite3_result_int(context, rbc__text_set_has(set, text));
        sqlite3_set_auxdata(context, 0, set, free_set); /* the last use: it may free the set */
    }
}

static rbc_status mark(sqlite3 *db, const char *where, sqlite3_stmt *select, uint8_t *marks,
                       int64_t num_episodes, rbc_error *err) {
    for (;;) {
        const int code = sqlite3_step(select);
        if (code == SQLITE_DONE) {
            return RBC_OK;
        }
        if (code != SQLITE_ROW) {
            return refuse(db, where, err);
        }
        const int64_t id = sqlite3_column_int64(select, 0);
        if (id < 0 || id >= num_episodes) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "catalog '%s' is damaged: it has an episode %lld of %lld; open the "
                             "dataset with rebuild",
                             sqlite3_db_filename(db, "main"), (long long)id,
                             (long long)num_episodes);
        }
        marks[id] = 1;
    }
}

static rbc_status run(sqlite3 *db, expression_guard *guard, const char *where, rbc__watch *watch,
                      uint8_t *marks, int64_t num_episodes, rbc_error *err) {
    static const char *const contexts[][2] = {
        {"SELECT id FROM " VIEW " WHERE ", ""},
        {"SELECT (",
         ") AS holds FROM " VIEW}, /* named: else the text is, and too long for a value */
        {"SELECT id FROM " VIEW " WHERE (", ")"}, /* the one that is run */
    };
    sqlite3_stmt *select = NULL;
    for (size_t i = 0; i < sizeof contexts / sizeof contexts[0]; ++i) {
        rbc__statement_finish(&select);
        if (rbc__watch_stop(watch)) {
            return rbc__fail(err, RBC_ERROR_CANCELLED, "where: interrupted");
        }
        RBC__TRY(compile(db, guard, contexts[i][0], where, contexts[i][1], &select, err));
    }
    const rbc_status status = mark(db, where, select, marks, num_episodes, err);
    rbc__statement_finish(&select);
    return status;
}

static rbc_status check_size(const char *where, rbc_error *err) {
    const size_t count = rbc__expression_count(where);
    return count <= RBC__EXPRESSION_MAX_TOKENS
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                           "where '%.*s...' has %zu words, signs and values; wanted at most %d, to "
                           "which the numbers and texts of lists such as id IN (1, 2, 3) do not "
                           "count",
                           QUOTED_BYTES, where, count, RBC__EXPRESSION_MAX_TOKENS);
}

/* What one step of SQLite's can cost: between two steps nobody is asked. Functions that compare
 * each part of one text with another take the product of their lengths. */
static void limit_expression(sqlite3 *db) {
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, MAX_TEXT_BYTES);
    sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, MAX_EXPRESSION_BYTES);
    sqlite3_limit(db, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, MAX_PATTERN_BYTES);
}

/* With both connections open. */
static rbc_status evaluate(const rbc__catalog *catalog, sqlite3 *db, sqlite3 *source,
                           const char *where, rbc__watch *watch, uint8_t *marks, rbc_error *err) {
    expression_guard guard = {0};
    rbc__where_metadata *metadata = NULL;
    if (sqlite3_create_function_v2(db, "match", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, source,
                                   match, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_set_authorizer(db, authorize, &guard) != SQLITE_OK) {
        return rbc__database_fail(db, err, "cannot be prepared for an expression");
    }
    rbc_status status = rbc__where_metadata_create(catalog, source, db, &metadata, err);
    if (status == RBC_OK) {
        limit_expression(db);
        status = run(db, &guard, where, watch, marks, catalog->num_episodes, err);
        status = rbc__where_metadata_settle(metadata, where, status, err);
    }
    rbc__where_metadata_destroy(&metadata);
    return status;
}

rbc_status rbc__catalog_where(const rbc__catalog *catalog, const char *where, rbc__watch *watch,
                              uint8_t *marks, rbc_error *err) {
    sqlite3 *db = NULL;
    sqlite3 *source = NULL; /* of what functions look up */
    RBC__TRY(check_size(where, err));
    rbc_status status = rbc__catalog_connect(catalog, watch, &db, err);
    if (status == RBC_OK) {
        status = rbc__catalog_connect(catalog, watch, &source, err);
    }
    if (status == RBC_OK) {
        status = evaluate(catalog, db, source, where, watch, marks, err);
    }
    rbc__database_close(&db);
    rbc__database_close(&source);
    return status;
}
