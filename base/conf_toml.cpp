/* conf_toml.cpp: the one C++ file: toml++ behind conf_toml.h. No exception leaves it. */
#include "conf_toml.h"

#include <stdexcept>

/* toml++ 3.3 asserts on some malformed keys: found by fuzzing. Compiled in here, its assertions
 * become exceptions, that is errors like any other. */
#undef TOML_SHARED_LIB
#undef TOML_HEADER_ONLY
#define TOML_HEADER_ONLY 1
#define TOML_ASSERT(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) throw std::logic_error("malformed");                                     \
    } while (0)

#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <toml++/toml.h>

namespace
{

struct Walk {
    const char *name;
    owm_conf_leaf_fn fn;
    void *ctx;
    owm_error *error;
};

bool too_many_dots(std::string_view text)
{
    size_t dots = 0;
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        size_t first = line.find_first_not_of(" \t");
        if (first == line.npos || line[first] == '#') continue;
        for (char c : line) dots += c == '.';
    }
    return dots > OWM_CONF_DOTS_MAX;
}

/* Line of the first control character that TOML forbids everywhere; 0: none. toml++ 3.3 stops the
 * program with an assertion on a zero byte in a key, so such text must not reach it. */
unsigned control_character_line(std::string_view text)
{
    unsigned line = 1;
    for (unsigned char c : text) {
        if (c == '\n')
            line++;
        else if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f)
            return line;
    }
    return 0;
}

/* Text that may hold a secret: wiped also when an exception passes. */
struct Wiped {
    std::string text;
    ~Wiped()
    {
        explicit_bzero(text.data(), text.size());
    }
};

/* The code point at text[i], which moves behind it; 0 if the bytes are not UTF-8 (RFC 3629). */
char32_t take_code_point(std::string_view text, size_t &i)
{
    static const char32_t least[] = {0x80, 0x800, 0x10000};
    unsigned char first = static_cast<unsigned char>(text[i++]);
    int more = (first & 0xE0) == 0xC0   ? 1
               : (first & 0xF0) == 0xE0 ? 2
               : (first & 0xF8) == 0xF0 ? 3
                                        : 0;
    if (more == 0) return 0;
    char32_t point = first & (0x3F >> more);
    for (int n = 0; n < more; n++, i++) {
        if (i >= text.size() || (text[i] & 0xC0) != 0x80) return 0;
        point = point << 6 | (static_cast<unsigned char>(text[i]) & 0x3F);
    }
    bool fits = point >= least[more - 1] && point <= 0x10FFFF && (point & 0x1FF800) != 0xD800;
    return fits ? point : 0;
}

/* The same text in ASCII: in "strings" a letter beyond it becomes \UXXXXXXXX, in comments "?". TOML
 * allows it in 'literal strings' too; there and elsewhere it is refused. toml++ 3.3 runs into
 * undefined behaviour on such letters in malformed text, so it gets none. Returns the line of a
 * letter that is refused, or 0. */
unsigned to_ascii(std::string_view text, std::string &ascii)
{
    unsigned line = 1;
    std::string_view quote; /* What ends the string that we are in; "#" in a comment. */
    for (size_t i = 0; i < text.size();) {
        char c = text[i];
        if (static_cast<unsigned char>(c) >= 0x80) {
            char escape[11];
            char32_t point = take_code_point(text, i);
            if (point == 0 || quote.empty() || quote[0] == '\'') return line;
            snprintf(escape, sizeof escape, "\\U%08X", static_cast<unsigned>(point));
            ascii += quote[0] == '#' ? "?" : escape;
            continue;
        }
        size_t taken = 1;
        if (c == '\n') {
            line++;
            if (quote.size() == 1) quote = {};
        } else if (quote.empty() && c == '#') {
            quote = "#";
        } else if (quote.empty() && (c == '"' || c == '\'')) {
            quote = c == '"' ? "\"\"\"" : "'''";
            if (text.substr(i, 3) == quote)
                taken = 3;
            else
                quote.remove_suffix(2);
        } else if (!quote.empty() && quote[0] == '"' && c == '\\' && i + 1 < text.size()
                   && static_cast<unsigned char>(text[i + 1]) < 0x80 && text[i + 1] != '\n') {
            taken = 2;
        } else if (!quote.empty() && quote[0] != '#' && text.substr(i, quote.size()) == quote) {
            taken = quote.size();
            quote = {};
        }
        ascii += text.substr(i, taken);
        i += taken;
    }
    return 0;
}

owm_status visit(const Walk &walk, const std::string &key, const toml::node &node);

owm_status visit_table(const Walk &walk, const std::string &prefix, const toml::table &table)
{
    for (auto &&[key, node] : table) {
        std::string path =
            prefix.empty() ? std::string(key.str()) : prefix + "." + std::string(key.str());
        owm_status status = visit(walk, path, node);
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

owm_status visit(const Walk &walk, const std::string &key, const toml::node &node)
{
    std::string text;
    owm_conf_leaf leaf{};
    leaf.key = key.c_str();
    leaf.line = static_cast<unsigned>(node.source().begin.line);
    leaf.kind = OWM_CONF_KIND_OTHER;
    if (key.find('\0') != key.npos)
        return owm_fail(walk.error, OWM_E_CONFIG, "%s:%u: a key holds a zero byte", walk.name,
                        leaf.line);
    if (const auto *table = node.as_table()) {
        leaf.kind = OWM_CONF_KIND_SECTION;
        owm_status status = walk.fn(walk.ctx, &leaf);
        return status == OWM_OK ? visit_table(walk, key, *table) : status;
    }
    if (const auto *string = node.as_string()) {
        text = string->get();
        if (text.find('\0') != text.npos)
            return owm_fail(walk.error, OWM_E_CONFIG, "%s:%u: the value holds a zero byte",
                            walk.name, leaf.line);
        leaf.kind = OWM_CONF_KIND_STRING;
        leaf.text = text.c_str();
    } else if (const auto *integer = node.as_integer()) {
        leaf.kind = OWM_CONF_KIND_INT;
        leaf.integer = integer->get();
    } else if (const auto *real = node.as_floating_point()) {
        leaf.kind = OWM_CONF_KIND_REAL;
        leaf.real = real->get();
    } else if (const auto *boolean = node.as_boolean()) {
        leaf.kind = OWM_CONF_KIND_BOOL;
        leaf.boolean = boolean->get();
    }
    owm_status status = walk.fn(walk.ctx, &leaf);
    explicit_bzero(text.data(), text.size());
    return status;
}

} // namespace

extern "C" owm_status owm_conf_toml(const char *name, const char *text, size_t text_bytes,
                                    owm_conf_leaf_fn fn, void *ctx, owm_error *error)
{
    try {
        std::string_view view(text ? text : "", text ? text_bytes : 0);
        if (too_many_dots(view))
            return owm_fail(error, OWM_E_CONFIG, "%s: more than %d dots, this is no configuration",
                            name, OWM_CONF_DOTS_MAX);
        if (unsigned line = control_character_line(view))
            return owm_fail(error, OWM_E_CONFIG, "%s:%u: a control character; is this a text file?",
                            name, line);
        Wiped ascii;
        ascii.text.reserve(text_bytes * 5 + 1); /* No growth leaves a copy behind. */
        if (unsigned line = to_ascii(view, ascii.text))
            return owm_fail(error, OWM_E_CONFIG,
                            "%s:%u: a letter beyond ASCII must be UTF-8 in a \"string\"", name,
                            line);
        return visit_table(Walk{name, fn, ctx, error}, "", toml::parse(ascii.text));
    } catch (const toml::parse_error &why) {
        return owm_fail(error, OWM_E_CONFIG, "%s:%u: %.300s", name,
                        static_cast<unsigned>(why.source().begin.line),
                        std::string(why.description()).c_str());
    } catch (const std::logic_error &) {
        return owm_fail(error, OWM_E_CONFIG, "%s: malformed key or section", name);
    } catch (const std::exception &) {
        return owm_fail(error, OWM_E_NOMEM, "%s: out of memory", name);
    }
}
