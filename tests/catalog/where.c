/* Users' expressions: what they select, and what is refused. */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_reader.h"
#include "scratch.h"

#define FILES 6
#define LINES 50

static char *folder;
static rbc_dataset *dataset;

static int setup(void **state) {
    (void)state;
    folder = scratch_make();
    fake_dataset_make(folder, FILES, LINES);
    dataset = scratch_open(folder, NULL);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    rbc_dataset_close(&dataset);
    scratch_remove(&folder);
    return 0;
}

/* Episode id has 1 + id % 50 steps, lies in file id / LINES, and has task id % 5. */
static const char *const tasks[] = {"open the drawer", "close the drawer", "pick up the cup", "",
                                    "put the cup in the \xc3\xa9tag\xc3\xa8re"};

static int64_t count(const char *where) {
    rbc_selection *selection;
    rbc_error err;
    if (rbc_selection_create(dataset, NULL, where, NULL, NULL, &selection, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    const int64_t size = rbc_selection_size(selection);
    rbc_selection_destroy(&selection);
    return size;
}

static void columns_mean_what_they_say(void **state) {
    (void)state;
    assert_int_equal(count("id < 7"), 7);
    assert_int_equal(count("id IN (1, 2, 299, 300)"), 3);
    assert_int_equal(count("split = 'val'"), 2 * LINES);
    assert_int_equal(count("num_steps >= 41"), FILES * 10);
    assert_int_equal(count("file = 'data-00004'"), LINES);
    assert_int_equal(count("record = 0"), FILES);
    assert_int_equal(count("bytes > 0"), FILES * LINES);
    assert_int_equal(count("task = ''"), FILES * LINES / 5);
    assert_int_equal(count("task LIKE '%cup%'"), FILES * LINES * 2 / 5);
    assert_int_equal(count("split = 'train' AND num_steps <= 5 -- and a comment"), 4 * 5);
    assert_int_equal(count("0"), 0);
}

static void match_searches_words(void **state) {
    (void)state;
    const int64_t fifth = FILES * LINES / 5;
    assert_int_equal(count("task MATCH 'drawer'"), 2 * fifth);
    assert_int_equal(count("task MATCH 'open drawer'"), fifth);
    assert_int_equal(count("task MATCH 'open OR cup'"), 3 * fifth);
    assert_int_equal(count("task MATCH '\"the cup\"'"), 2 * fifth);
    assert_int_equal(count("task MATCH 'dra*'"), 2 * fifth);
    assert_int_equal(count("task MATCH 'etagere'"), fifth);
    assert_int_equal(count("task MATCH 'nothing'"), 0);
    /* anywhere in an expression */
    assert_int_equal(count("NOT task MATCH 'drawer'"), 3 * fifth);
    assert_int_equal(count("task MATCH 'drawer' OR task MATCH 'pick'"), 3 * fifth);
    assert_int_equal(count("task MATCH 'drawer' AND num_steps >= 41"), FILES * 4);
}

static void metadata_is_looked_up_by_key(void **state) {
    (void)state; /* {"line": LINE}, of whole numbers from 0 in each file */
    assert_int_equal(count("metadata.line < 7"), FILES * 7);
    assert_int_equal(count("METADATA.\"line\" = 3 OR metadata.[line] = 4 OR metadata.`line` = 5"),
                     FILES * 3);
    assert_int_equal(count("id = 60 AND metadata.line IN (9, 10, 11)"), 1);
    assert_int_equal(count("NOT metadata.line < 7 AND task MATCH 'drawer'"),
                     count("metadata.line >= 7 AND (metadata.line % 5) < 2"));
    assert_int_equal(count("'metadata.none' = task OR metadata.line = 0 -- metadata.none"), FILES);
}

static void ids_come_in_order(void **state) {
    (void)state;
    rbc_selection *selection;
    rbc_error err;
    assert_int_equal(
        rbc_selection_create(dataset, "val", "task MATCH 'drawer'", NULL, NULL, &selection, &err),
        RBC_OK);
    int64_t previous = -1;
    for (int64_t i = 0; i < rbc_selection_size(selection); ++i) {
        const int64_t id = rbc_selection_id(selection, i);
        assert_true(id > previous);
        assert_int_equal(id / LINES % 3, 2);
        assert_non_null(strstr(tasks[id % 5], "drawer"));
        previous = id;
    }
    assert_int_equal(rbc_selection_size(selection), 2 * LINES * 2 / 5);
    rbc_selection_destroy(&selection);
}

static void what_is_no_expression_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        ";",
        "1;",
        "1) OR (1",
        "1)",
        "(1",
        "1; DROP TABLE episodes",
        "1 ORDER BY id",
        "1 GROUP BY id",
        "1 LIMIT 1",
        "1, 2",
        "1 /* never ended",
        "1 UNION SELECT 1",
        "1) UNION SELECT id FROM episode WHERE (1",
        "(SELECT 1)",
        "EXISTS (SELECT 1)",
        "EXISTS (SELECT 1 FROM sqlite_schema)",
        "id IN (SELECT key FROM episodes)",
        "id IN tasks",
        "id IN pragma_table_info('tasks')",
        "count(*) > 1",
        "row_number() OVER () > 1",
        "load_extension('x')",
        "task = ?",
        "task = :name",
        "taks = 'x'",
        "task = \"drawer\"",
        "rowid = 1",
        "key = 1",
        "ATTACH 'x' AS y",
        "PRAGMA user_version = 7",
        "task MATCH '\"open'",
        "task MATCH 'AND'",
        "num_steps MATCH",
        "metadata",
        "metadata.5",
        "metadata . line = 1",
        "metadata.\"line",
        "metadata.\"line\"\"",
        "metadata.'line'",
        "episode.metadata.line",
        "metadata.lines = 1",
        "metadata.line.more IS NULL",
        "metadata() = 1",
        "metadata(id)",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; ++i) {
        rbc_selection *selection = NULL;
        rbc_error err;
        const rbc_status status =
            rbc_selection_create(dataset, NULL, wrong[i], NULL, NULL, &selection, &err);
        if (status != RBC_ERROR_INVALID_ARGUMENT) {
            fail_msg("'%s' gave %s", wrong[i], rbc_status_name(status));
        }
        assert_null(selection);
        assert_non_null(strstr(err.message, wrong[i]));
    }
    assert_int_equal(count("1"), FILES * LINES);
}

/* What one step may cost is bounded: between two steps nobody hears Ctrl-C. */
static void monstrous_values_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "hex(zeroblob(499999999)) = 'x'",
        "length(randomblob(100000000)) > 0",
        "replace(hex(zeroblob(30000)), '0', hex(zeroblob(30000))) = task",
        "length(hex(zeroblob(8000)) || hex(zeroblob(8000)) || task) > 0",
        "trim(hex(zeroblob(8000)), printf('%.*c', 3000, 'x') || '0') = task",
        "task LIKE hex(zeroblob(600))",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; ++i) {
        rbc_selection *selection = NULL;
        rbc_error err;
        const rbc_status status =
            rbc_selection_create(dataset, NULL, wrong[i], NULL, NULL, &selection, &err);
        if (status != RBC_ERROR_INVALID_ARGUMENT) {
            fail_msg("'%s' gave %s", wrong[i], rbc_status_name(status));
        }
    }
    assert_int_equal(count("length(hex(zeroblob(8000))) = 16000"), FILES * LINES);
}

/* `begin`, `item` so many times with its number in it, and `end`. */
static char *repeat(const char *begin, const char *item, int times, const char *end) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    fputs(begin, out);
    for (int i = 0; i < times; ++i) {
        const char *number = strchr(item, '#');
        const int head = number != NULL ? (int)(number - item) : (int)strlen(item);
        fprintf(out, "%.*s", head, item);
        if (number != NULL) {
            fprintf(out, "%d%s", 250 + i, number + 1);
        }
    }
    fputs(end, out);
    fclose(out);
    return text;
}

/* Compiling takes time with the square of what is written, and cannot be interrupted. */
static void what_takes_long_to_compile_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *begin, *item;
        int times;
        const char *end;
        bool fits;
        int64_t found;
    } table[] = {
        /* what users write: many ids */
        {"id IN (0", ",#", 50000, ")", true, 1 + 50},
        {"id NOT in /* these */ (0", ",#", 50000, ")", true, FILES * LINES - 1 - 50},
        {"id In\n(0", ", -#", 50000, ")", true, 1},
        {"task IN ('no, (''that'')'", ",'#'", 30000, ")", true, 0},
        {"id IN (", "250, ", 30000, "251) OR id IN (7)", true, 3},
        {"id < 7 -- ", "don't ", 5000, "\n", true, 7},
        {"id < 7 /* '", "it's ", 5000, "*/", true, 7},
        {"num_steps IN (0", ", -1.5e-3, 2E+3, 0x#", 20000, ")", true, 0},
        {"num_steps IN (0", ",1-#", 5000, ")", false, 0},
        {"num_steps IN (0", ",-'#'", 5000, ")", false, 0},
        {"num_steps IN (0", ",- -#", 5000, ")", false, 0},
        {"num_steps IN (0", ",0xe-#", 5000, ")", false, 0},
        {"num_steps IN (0", ",id+#", 1000, ")", true, 0},
        {"num_steps IN (0", ",id+#", 1030, ")", false, 0},
        {"id IN ((0", ",#", 5000, "))", false, 0},
        {"(0", ",#", 5000, ") = (1, 2)", false, 0},
        {"id IN (0", ", id, #", 5000, ")", false, 0},
        {"id IN (0", ") OR (# - 1", 5000, ")", false, 0},
        {"CASE id", " WHEN # THEN 1", 1500, " END", false, 0},
        {"/*'*/ id IN (\"id\"", ",id+#", 1500, ") -- '", false, 0},
        {"id -- '\nIN (1, id", ",\"id\" + #", 1500, ") -- '", false, 0},
        {"[id] IN (`id`", ",[id] + #", 1500, ")", false, 0},
        {"num_steps IN (''", ",'x'||#", 1500, ")", false, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i) {
        rbc_selection *selection = NULL;
        rbc_error err;
        char *where = repeat(table[i].begin, table[i].item, table[i].times, table[i].end);
        const rbc_status status =
            rbc_selection_create(dataset, NULL, where, NULL, NULL, &selection, &err);
        if (status != (table[i].fits ? RBC_OK : RBC_ERROR_INVALID_ARGUMENT) ||
            (table[i].fits ? rbc_selection_size(selection) != table[i].found
                           : strstr(err.message, "words, signs and values") == NULL)) {
            fail_msg("'%.30s': %s %s", where, rbc_status_name(status),
                     status != RBC_OK ? err.message : "");
        }
        rbc_selection_destroy(&selection);
        free(where);
    }
}

static int stop_at_once(void *user) {
    ++*(int *)user;
    return 1;
}

static void an_endless_expression_is_left_when_asked(void **state) {
    (void)state;
    rbc_selection *selection = NULL;
    rbc_error err;
    int asked = 0;
    /* half a second of work for each of the 300 episodes */
    char *slow = repeat(
        "0", " OR trim(hex(zeroblob(8000)), id || printf('%.*c', 1300, 'x') || '0')", 20, "");
    assert_int_equal(
        rbc_selection_create(dataset, NULL, slow, stop_at_once, &asked, &selection, &err),
        RBC_ERROR_CANCELLED);
    assert_int_equal(asked, 1);
    assert_null(selection);
    free(slow);
}

static void messages_have_the_words_of_sqlite(void **state) {
    (void)state;
    rbc_selection *selection;
    rbc_error err;
    assert_int_equal(
        rbc_selection_create(dataset, NULL, "taks = 'x'", NULL, NULL, &selection, &err),
        RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "no such column: taks"));
    assert_non_null(strstr(err.message, "num_steps"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_mean_what_they_say),
        cmocka_unit_test(match_searches_words),
        cmocka_unit_test(metadata_is_looked_up_by_key),
        cmocka_unit_test(ids_come_in_order),
        cmocka_unit_test(what_is_no_expression_is_refused),
        cmocka_unit_test(monstrous_values_are_refused),
        cmocka_unit_test(what_takes_long_to_compile_is_refused),
        cmocka_unit_test(an_endless_expression_is_left_when_asked),
        cmocka_unit_test(messages_have_the_words_of_sqlite),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
