#include "catalog/expression.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

typedef enum token {
    NOTHING, /* the end */
    SPACE,   /* and comments */
    VALUE,   /* a number or a text */
    WORD,
    SIGN,
} token;

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

/* Behind the first `end`, or the end of the text. */
static const char *behind(const char *at, const char *end) {
    const char *found = strstr(at, end);
    return found != NULL ? found + strlen(end) : at + strlen(at);
}

static const char *behind_word(const char *at) {
    while (is_digit(*at) || is_letter(*at)) {
        ++at;
    }
    return at;
}

static const char *behind_number(const char *at) {
    const bool is_hex = at[0] == '0' && (at[1] == 'x' || at[1] == 'X');
    const char *begin = at;
    while (
        is_digit(*at) || is_letter(*at) || *at == '.' ||
        (!is_hex && at > begin && (at[-1] == 'e' || at[-1] == 'E') && (*at == '-' || *at == '+'))) {
        ++at;
    }
    return at;
}

static token next_token(const char **text) {
    const char *at = *text;
    const char c = *at;
    token kind = SIGN;
    if (c == '\0') {
        return NOTHING;
    }
    if (strchr(" \t\r\n\f", c) != NULL) {
        kind = SPACE;
        at += strspn(at, " \t\r\n\f");
    } else if (strncmp(at, "--", 2) == 0) {
        kind = SPACE;
        at = behind(at, "\n");
    } else if (strncmp(at, "/*", 2) == 0) {
        kind = SPACE;
        at = behind(at + 2, "*/");
    } else if (strchr("'\"`[", c) != NULL) {
        const char end[] = {c == '[' ? ']' : c, '\0'};
        kind = c == '\'' ? VALUE : WORD;
        do { /* a quote within is written twice */
            at = behind(at + 1, end);
        } while (c != '[' && *at == c);
    } else if (is_digit(c) || is_letter(c)) {
        kind = is_digit(c) ? VALUE : WORD;
        at = kind == VALUE ? behind_number(at) : behind_word(at);
    } else {
        ++at;
    }
    *text = at;
    return kind;
}

/* Whether a list goes on with the token that begins at `at`; `before` is the first character of the
 * one before. */
static bool goes_on(char before, token kind, const char *at) {
    const bool begins = before == '(' || before == ',';
    return *at == ',' || (begins && *at == '-') ||
           (kind == VALUE && (begins || (before == '-' && is_digit(*at))));
}

size_t rbc__expression_count(const char *text) {
    size_t count = 0;
    bool behind_in = false;
    bool in_list = false;
    char before = '\0';
    for (;;) {
        const char *begin = text;
        const token kind = next_token(&text);
        if (kind == NOTHING) {
            return count;
        }
        if (kind == SPACE) {
            continue;
        }
        in_list = (in_list && goes_on(before, kind, begin)) || (behind_in && *begin == '(');
        before = *begin;
        behind_in = text - begin == 2 && strncasecmp(begin, "in", 2) == 0;
        count += !in_list;
    }
}
