#include "catalog/expression.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/bytes.h"

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

/* A word, which may be quoted, as a text of SQL. */
static void put_text(rbc__bytes *out, const char *word, const char *end) {
    const char quote = *word == '[' ? ']' : *word;
    const bool is_quoted = strchr("\"`[", *word) != NULL;
    rbc__bytes_byte(out, '\'');
    for (const char *at = word + is_quoted; at < end - is_quoted; ++at) {
        rbc__bytes_byte(out, (uint8_t)*at);
        if (*at == '\'') {
            rbc__bytes_byte(out, '\''); /* written twice */
        } else if (is_quoted && *at == quote && at + 1 < end - 1) {
            ++at; /* was written twice */
        }
    }
    rbc__bytes_byte(out, '\'');
}

/* Whether what begins with a quote has one at its end too, which is not one of two within. */
static bool is_closed(const char *word, const char *end) {
    size_t quotes = 0;
    for (const char *at = word; at < end; ++at) {
        quotes += *at == *word;
    }
    return *word == '[' ? end[-1] == ']' : strchr("\"`", *word) == NULL || quotes % 2 == 0;
}

/* Behind a dot and a word, or `at` where they do not stand there. */
static const char *behind_member(const char *at) {
    const char *text = at + 1;
    return *at == '.' && next_token(&text) == WORD && is_closed(at + 1, text) ? text : at;
}

char *rbc__expression_with_calls(const char *text) {
    static const char name[] = "metadata";
    rbc__bytes out = {0};
    char before = '\0';
    for (;;) {
        const char *begin = text;
        const token kind = next_token(&text);
        if (kind == NOTHING) {
            break;
        }
        const char *member = behind_member(text);
        const bool is_metadata = kind == WORD && before != '.' && member > text &&
                                 (size_t)(text - begin) == strlen(name) &&
                                 strncasecmp(begin, name, strlen(name)) == 0;
        if (!is_metadata) {
            rbc__bytes_append(&out, begin, (size_t)(text - begin));
            before = kind == SPACE ? before : *begin;
            continue;
        }
        rbc__bytes_append(&out, "metadata(id", strlen("metadata(id"));
        for (; member > text; member = behind_member(text)) {
            rbc__bytes_append(&out, ", ", 2);
            put_text(&out, text + 1, member);
            text = member;
        }
        rbc__bytes_byte(&out, ')');
        before = ')';
    }
    rbc__bytes_byte(&out, '\0');
    if (rbc__bytes_check(&out, NULL) != RBC_OK) {
        rbc__bytes_free(&out);
        return NULL;
    }
    return (char *)out.data;
}
