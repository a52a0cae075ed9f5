/* Whole scenarios while memory, files or threads fail: each call of a scenario that can fail does so once, in a child of
 * its own. A scenario then ends with what it gives else, or says what failed; nothing is left open or lying
 * about, and the same scenario done again without a fault works.
 *
 * usage: test_faults [TRIALS]            of each scenario and kind of fault as many calls fail, evenly spaced
 *        test_faults SCENARIO KIND[+] [N]     every call fails in turn, or call N alone; +: and all behind it
 *        test_faults list                names of scenarios and kinds */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "data.h"
#include "faulty.h"
#include "scenarios.h"

#define PATIENCE_S     240 /* a scenario that takes longer hangs */
#define TRIALS         4
#define STRUCK_NOTHING 3 /* exit status of a child whose scenario made fewer calls */

/* Of the sanitizer, where there is one. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* What a scenario does without faults; written by a child. */
typedef struct expected {
    uint64_t digest;
    uint64_t names; /* of the files that there are behind it */
    int64_t num_calls;
} expected;

typedef struct trial {
    const scenario *scenario;
    int kind;
    bool stays;
    int64_t nth;
    const expected *wanted; /* NULL: the scenario is looked at without faults, into `found` */
    expected *found;
} trial;

static char templates[NUM_SCENARIO_DATA][64]; /* by scenario_data */

/* ---- folders -------------------------------------------------------------------------------- */

static void stop(const char *what, const char *path) {
    (void)fprintf(stderr, "%s: %s: %s\n", path, what, strerror(errno));
    exit(2);
}

static void make_folder(char path[64]) {
    const char *base = getenv("TMPDIR");
    (void)snprintf(path, 64, "%s/rbc-faults-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(path) == NULL) {
        stop("cannot be made", path);
    }
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_folder(const char *path) {
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Folders anew, and links to files: a catalog knows its files by their inodes. */
static void link_folder(const char *from, const char *to) {
    DIR *listing = opendir(from);
    if (listing == NULL) {
        stop("cannot be listed", from);
    }
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        char source[512];
        char copy[512];
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        (void)snprintf(source, sizeof source, "%s/%s", from, entry->d_name);
        (void)snprintf(copy, sizeof copy, "%s/%s", to, entry->d_name);
        if (lstat(source, &info) == 0 && S_ISDIR(info.st_mode)) {
            if (mkdir(copy, 0777) != 0) {
                stop("cannot be made", copy);
            }
            link_folder(source, copy);
        } else if (link(source, copy) != 0) {
            stop("cannot be linked", source);
        }
    }
    closedir(listing);
}

static uint64_t names_digest;
static size_t root_length;

/* In any order. */
static int add_name(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info;
    (void)type;
    (void)walk;
    if (strstr(path, ".statistics") == NULL) { /* which are kept where that is possible */
        names_digest += mix_in(1, path + root_length, strlen(path + root_length));
    }
    return 0;
}

static int show_name(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info;
    (void)type;
    (void)walk;
    (void)fprintf(stderr, "    %s\n", path + root_length);
    return 0;
}

static uint64_t names_in(const char *root) {
    names_digest = 0;
    root_length = strlen(root);
    (void)nftw(root, add_name, 16, FTW_PHYS);
    return names_digest;
}

static int count_entries(const char *folder) {
    int count = 0;
    DIR *listing = opendir(folder);
    while (listing != NULL && readdir(listing) != NULL) {
        ++count;
    }
    if (listing != NULL) {
        closedir(listing);
    }
    return count;
}

/* Threads that a loader did not wait for end on their own. */
static void await_threads(void) {
    while (count_entries("/proc/self/task") > 3) { /* with "." and ".." */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* ---- one trial ------------------------------------------------------------------------------ */

/* A fault is a shortage and never said to be anything else. */
static const char *wrong_with(const rbc_error *err, int kind) {
    if (err->message[0] == '\0') {
        return "no message";
    }
    if (err->status == RBC_ERROR_OUT_OF_MEMORY) {
        return NULL;
    }
    if (err->status != RBC_ERROR_IO) {
        return "the status is of something else";
    }
    if (err->device_code == 0) {
        return "no errno";
    }
    return kind == FAULT_MEMORY && err->device_code != ENOMEM && err->device_code != EAGAIN
               ? "the errno is of something else"
               : NULL;
}

/* Then something may be left that the next run, or the user, removes. While all fails nothing can be, either. */
static bool stops_removing(const char *function) {
    static const char *const those[] = {"unlink",  "unlinkat", "rmdir",
                                        "opendir", "readdir",  "fstatat"};
    for (size_t i = 0; function != NULL && i < sizeof those / sizeof *those; ++i) {
        if (strcmp(function, those[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int num_complaints;

static void complain(const trial *t, const char *function, const char *what, const char *detail) {
    ++num_complaints;
    (void)fprintf(stderr, "%s %s%s %" PRId64 " (%s): %s%s%s\n", t->scenario->name,
                  fault_name(t->kind), t->stays ? "+" : "", t->nth,
                  function != NULL ? function : "nothing failed", what,
                  detail[0] != '\0' ? ": " : "", detail);
}

/* In a child. The scenario is done with a fault and then without. */
static int try_it(const trial *t) {
    char root[64];
    make_folder(root);
    link_folder(templates[t->scenario->data], root);
    char cache[80];
    (void)snprintf(cache, sizeof cache, "%s/cache", root);
    setenv("ROBOCACHE_CACHE", cache, 1);
    const int files_before = count_entries("/proc/self/fd");
    uint64_t digest = 1;
    rbc_error err = {.status = RBC_OK};
    const char *function = NULL;
    faults_begin(t->kind, t->nth, t->stays, NULL);
    rbc_status status = t->scenario->run(root, &digest, &err);
    const int64_t num_calls = faults_num_calls();
    const int64_t num_failed = faults_end(&function);
    await_threads();
    if (t->scenario->look != NULL && status == RBC_OK) {
        status = t->scenario->look(root, &digest, &err);
    }
    if (t->wanted == NULL) {
        *t->found = (expected){digest, names_in(root), num_calls};
        if (status != RBC_OK) {
            complain(t, NULL, "fails without a fault", err.message);
        }
        remove_folder(root);
        return num_complaints > 0;
    }
    if (count_entries("/proc/self/fd") != files_before) {
        complain(t, function, "files are left open", "");
    }
    if (num_failed == 0 && status != RBC_OK) {
        complain(t, function, "fails without a fault", err.message);
    } else if (status != RBC_OK || err.message[0] != '\0') {
        const char *wrong = wrong_with(&err, t->kind);
        if (wrong != NULL) {
            char detail[RBC_ERROR_MESSAGE_BYTES + 64];
            (void)snprintf(detail, sizeof detail, "%s: %s", rbc_status_name(err.status),
                           err.message);
            complain(t, function, wrong, detail);
        }
    }
    if (status == RBC_OK && digest != t->wanted->digest) {
        complain(t, function, "the result is another", "");
    }
    if (getenv("FAULTS_SHOW") != NULL) {
        (void)fprintf(stderr, "%s %s %" PRId64 " (%s): %s: %s\n", t->scenario->name,
                      fault_name(t->kind), t->nth, function != NULL ? function : "",
                      rbc_status_name(status), err.message);
    }
    /* what is written is not written twice */
    const bool is_written = t->scenario->look != NULL &&
                            (status == RBC_OK || strstr(err.message, "are added") != NULL ||
                             strstr(err.message, "is there, but") != NULL);
    if (!is_written || status != RBC_OK) {
        digest = 1;
        rbc_status again = is_written ? RBC_OK : t->scenario->run(root, &digest, &err);
        if (again == RBC_OK && t->scenario->look != NULL) {
            again = t->scenario->look(root, &digest, &err);
        }
        if (again != RBC_OK) {
            complain(t, function, "fails behind a fault", err.message);
        } else if (digest != t->wanted->digest) {
            complain(t, function, "the result behind a fault is another", "");
        }
    }
    await_threads();
    if (!t->stays && !stops_removing(function) && names_in(root) != t->wanted->names) {
        complain(t, function, "other files than without a fault are left", "");
        (void)nftw(root, show_name, 16, FTW_PHYS);
    }
    if (__lsan_do_recoverable_leak_check != NULL && __lsan_do_recoverable_leak_check() != 0) {
        complain(t, function, "memory is lost", "");
    }
    remove_folder(root);
    return num_complaints > 0 ? 1 : num_failed == 0 ? STRUCK_NOTHING : 0;
}

/* Exit status of try_it() in a child; 1 with a word where it dies. */
static int try_in_child(const trial *t) {
    const pid_t child = fork();
    if (child == 0) {
        (void)alarm(PATIENCE_S);
        num_complaints = 0;
        _exit(try_it(t));
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        stop("no child", t->scenario->name);
    }
    if (!WIFEXITED(status)) {
        complain(t, "?",
                 WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "it hangs" : "it crashes",
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "");
        return 1;
    }
    return WEXITSTATUS(status);
}

/* ---- many ----------------------------------------------------------------------------------- */

typedef struct tally {
    int64_t trials, problems;
} tally;

static void try_and_count(const trial *t, tally *all) {
    const int result = try_in_child(t);
    all->trials += result != STRUCK_NOTHING;
    all->problems += result == 1;
}

/* `most` calls of each kind of fault, evenly spaced; 0: all. `only` is one call; 0: not. */
static void sweep(const scenario *of, int kind, bool stays, int64_t most, int64_t only,
                  tally *all) {
    expected *wanted =
        mmap(NULL, sizeof *wanted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (wanted == MAP_FAILED) {
        stop("no memory", of->name);
    }
    trial t = {of, kind, stays, INT64_MAX, NULL, wanted};
    const int result = try_in_child(&t);
    if (result != 0) {
        ++all->problems;
    }
    t.wanted = wanted;
    const int64_t count = wanted->num_calls;
    const int64_t trials = most == 0 || most > count ? count : most;
    if (only > 0) {
        t.nth = only;
        try_and_count(&t, all);
    }
    for (int64_t i = 0; only == 0 && i < trials && result == 0; ++i) {
        /* in the middle of its share of the calls */
        t.nth = (2 * i + 1) * count / (2 * trials) + 1;
        try_and_count(&t, all);
    }
    (void)munmap(wanted, sizeof *wanted);
}

static const scenario *scenario_named(const char *name) {
    for (int i = 0; i < num_scenarios; ++i) {
        if (strcmp(scenarios[i].name, name) == 0) {
            return &scenarios[i];
        }
    }
    (void)fprintf(stderr, "no scenario '%s'\n", name);
    exit(2);
}

static int kind_named(const char *name, bool *stays) {
    const size_t length = strcspn(name, "+");
    *stays = name[length] == '+';
    for (int kind = 0; kind < NUM_FAULT_KINDS; ++kind) {
        if (strlen(fault_name(kind)) == length && strncmp(fault_name(kind), name, length) == 0) {
            return kind;
        }
    }
    (void)fprintf(stderr, "no kind of fault '%s'\n", name);
    exit(2);
}

/* A call that is interrupted for ever is made for ever. */
static bool may_stay(int kind) {
    return kind != FAULT_INTERRUPT;
}

static void list(void) {
    for (int i = 0; i < num_scenarios; ++i) {
        for (int kind = 0; kind < NUM_FAULT_KINDS; ++kind) {
            (void)printf("%s %s\n", scenarios[i].name, fault_name(kind));
            if (may_stay(kind)) {
                (void)printf("%s %s+\n", scenarios[i].name, fault_name(kind));
            }
        }
    }
}

/* The datasets that scenarios are given links of. Also warms up what libraries make once. */
static void make_templates(void) {
    rbc_error err;
    uint64_t digest = 1;
    data_prepare();
    for (int data = 0; data < NUM_SCENARIO_DATA; ++data) {
        make_folder(templates[data]);
        if ((data != SCENARIO_NOTHING && data_write(templates[data], 0, &err) != RBC_OK) ||
            (data == SCENARIO_CATALOG &&
             scenario_named("load")->run(templates[data], &digest, &err) != RBC_OK)) {
            (void)fprintf(stderr, "%s\n", err.message);
            exit(2);
        }
    }
    data_pack(templates[SCENARIO_PACKED]);
    await_threads();
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        list();
        return 0;
    }
    tally all = {0, 0};
    make_templates();
    if (argc >= 3) {
        bool stays;
        const int kind = kind_named(argv[2], &stays);
        const int64_t only = argc > 3 ? strtoll(argv[3], NULL, 10) : 0;
        sweep(scenario_named(argv[1]), kind, stays, 0, only, &all);
        (void)printf("%s %s: ", argv[1], argv[2]);
    } else {
        const int64_t most = argc == 2 ? strtoll(argv[1], NULL, 10) : TRIALS;
        for (int i = 0; i < num_scenarios; ++i) {
            for (int kind = 0; kind < NUM_FAULT_KINDS; ++kind) {
                sweep(&scenarios[i], kind, false, most, 0, &all);
                if (may_stay(kind)) {
                    sweep(&scenarios[i], kind, true, most, 0, &all);
                }
            }
        }
    }
    (void)printf("%" PRId64 " faults, %" PRId64 " problems\n", all.trials, all.problems);
    for (int data = 0; data < NUM_SCENARIO_DATA; ++data) {
        remove_folder(templates[data]);
    }
    return all.problems > 0;
}
