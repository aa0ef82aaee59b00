/* main.c: lnd-double: doubles of LND nodes as a program, told what to do by lines.
 *
 *     lnd-double [--network NAME] [--control SOCKET] FOLDER[=ADDRESS]…
 *     lnd-double --ask SOCKET NODE COMMAND…
 *
 * One node per folder, named by the folder's last part. When all listen, "ready NODE ADDRESS KEY"
 * is said of each. Then lines "NODE COMMAND…" come from standard input, until its end, or from
 * whoever connects to the socket, until the program is ended by a signal. An answer is "ok LINES"
 * or "error LINES", and so many lines. --ask sends one line, prints the answer and fails with it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/signals.h"
#include "lnd_double.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#define NODES_MAX  16
#define LINE_BYTES 8192

static struct {
    struct lnd_double *nodes[NODES_MAX];
    size_t node_count;
    const char *network, *control;
} program = {.network = "regtest"};

static struct lnd_double *node_named(const char *name, size_t length)
{
    for (size_t i = 0; i < program.node_count; i++) {
        const char *node = lnd_double_name(program.nodes[i]);
        if (strlen(node) == length && memcmp(node, name, length) == 0) return program.nodes[i];
    }
    return NULL;
}

static size_t lines_in(const char *text)
{
    size_t lines = *text != 0;
    for (; *text; text++) lines += *text == '\n';
    return lines;
}

static void line_serve(const char *line, FILE *out)
{
    size_t length = strcspn(line, " \n");
    struct lnd_double *node = node_named(line, length);
    char *said = NULL;
    owm_status status = OWM_E_NOTFOUND;
    if (node)
        status = lnd_double_command(node, line + length, &said);
    else
        said = strdup("there is no such node");
    fprintf(out, "%s %zu\n", status == OWM_OK ? "ok" : "error", lines_in(said));
    if (*said) fprintf(out, "%s\n", said);
    fflush(out);
    free(said);
}

static void lines_serve(FILE *in, FILE *out)
{
    char line[LINE_BYTES];
    while (fgets(line, sizeof line, in)) line_serve(line, out);
}

/* ----------------------------------------------------------------------------------- socket */

static bool socket_address(const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
    return length < (int)sizeof address->sun_path;
}

static void *connection_serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
    if (in && out) lines_serve(in, out);
    if (in) fclose(in);
    if (out) fclose(out);
    return NULL;
}

static void *control_serve(void *arg)
{
    int listener = (int)(intptr_t)arg;
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, connection_serve, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
        else
            close(fd);
    }
    return NULL;
}

static bool control_start(const char *path)
{
    struct sockaddr_un address;
    pthread_t thread;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(path);
    if (!socket_address(path, &address) || listener < 0
        || bind(listener, (struct sockaddr *)&address, sizeof address) != 0
        || listen(listener, 16) != 0
        || pthread_create(&thread, NULL, control_serve, (void *)(intptr_t)listener) != 0) {
        fprintf(stderr, "lnd-double: cannot listen on %s: %m\n", path);
        return false;
    }
    pthread_detach(thread);
    return true;
}

static int ask(const char *path, int count, char **word)
{
    struct sockaddr_un address;
    char line[LINE_BYTES], status[16] = "";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t lines = 0;
    if (!socket_address(path, &address) || fd < 0
        || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        fprintf(stderr, "lnd-double: nobody listens on %s: %m\n", path);
        return 1;
    }
    FILE *in = fdopen(fd, "r");
    for (int i = 0; i < count; i++) dprintf(fd, "%s%s", i ? " " : "", word[i]);
    dprintf(fd, "\n");
    if (fgets(line, sizeof line, in)) sscanf(line, "%15s %zu", status, &lines);
    bool ok = strcmp(status, "ok") == 0;
    for (; lines > 0 && fgets(line, sizeof line, in); lines--) fputs(line, ok ? stdout : stderr);
    fclose(in);
    return ok ? 0 : 1;
}

/* ------------------------------------------------------------------------------------ nodes */

static bool node_start(char *argument)
{
    char *equals = strchr(argument, '=');
    if (equals) *equals = 0;
    struct lnd_double_config config = {.folder = argument,
                                       .address = equals ? equals + 1 : "127.0.0.1:0",
                                       .network = program.network};
    struct lnd_double *node;
    struct owm_error error = {{0}};
    if (program.node_count == NODES_MAX || lnd_double_open(&config, &node, &error) != OWM_OK) {
        fprintf(stderr, "lnd-double: %s\n", error.text);
        return false;
    }
    program.nodes[program.node_count++] = node;
    return true;
}

static bool arguments_take(int count, char **word)
{
    for (int i = 1; i < count; i++) {
        bool network = strcmp(word[i], "--network") == 0;
        bool control = strcmp(word[i], "--control") == 0;
        if ((network || control) && i + 1 < count)
            *(network ? &program.network : &program.control) = word[++i];
        else if (!node_start(word[i]))
            return false;
    }
    return program.node_count > 0;
}

static void ready_say(void)
{
    for (size_t i = 0; i < program.node_count; i++) {
        struct lnd_double *node = program.nodes[i];
        printf("ready %s %s %s\n", lnd_double_name(node), lnd_double_address(node),
               lnd_double_key(node));
    }
    fflush(stdout);
}

int main(int count, char **word)
{
    owm_signals_block();
    if (count > 3 && strcmp(word[1], "--ask") == 0) return ask(word[2], count - 3, word + 3);
    bool started = arguments_take(count, word);
    if (started && program.control) started = control_start(program.control);
    if (started) ready_say();
    if (started && program.control)
        while (!owm_signals_wait(1000)) {
        }
    else if (started)
        lines_serve(stdin, stdout);
    for (size_t i = 0; i < program.node_count; i++) lnd_double_close(program.nodes[i]);
    return started ? 0 : 1;
}
