/* fault.c: how a fault is told: kernel, block, thread, line, sentence; and the refusals of calls.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "emu.h"

/* Run addr2line with its answer in `text`; no malloc, since we may come from a signal. */
static bool ask_addr2line(const char *file, const char *offset, char *text, size_t text_bytes)
{
    int ends[2];
    if (pipe(ends) != 0) return false;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(STDERR_FILENO);
        execlp("addr2line", "addr2line", "-s", "-e", file, offset, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    size_t have = 0;
    ssize_t got;
    while (have + 1 < text_bytes && (got = read(ends[0], text + have, text_bytes - 1 - have)) > 0)
        have += (size_t)got;
    close(ends[0]);
    text[have] = '\0';
    text[strcspn(text, "\n ")] = '\0'; /* Without "(discriminator 2)". */
    int status = 0;
    if (child > 0) waitpid(child, &status, 0);
    return child > 0 && status == 0 && *text && *text != '?';
}

void emu_line(const void *pc, char *text, size_t text_bytes)
{
    Dl_info found;
    if (!pc || !dladdr(pc, &found) || !found.dli_fname) {
        snprintf(text, text_bytes, "an unknown line");
        return;
    }
    char offset[32];
    uintptr_t at = (uintptr_t)pc - 1; /* Return addresses are behind the call. */
    snprintf(offset, sizeof offset, "0x%zx", (size_t)(at - (uintptr_t)found.dli_fbase));
    if (ask_addr2line(found.dli_fname, offset, text, text_bytes)) return;
    /* A program that is not position-independent has its addresses as they are. */
    snprintf(offset, sizeof offset, "0x%zx", (size_t)at);
    if (ask_addr2line(found.dli_fname, offset, text, text_bytes)) return;
    const char *slash = strrchr(found.dli_fname, '/');
    snprintf(text, text_bytes, "%s+0x%zx", slash ? slash + 1 : found.dli_fname,
             (size_t)(at - (uintptr_t)found.dli_fbase));
}

static const char *without_folder(const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

/* Messages are built whole: another process may write to the same stderr. */
static __attribute__((noreturn)) void end(const struct emu_thread *thread, const char *line,
                                          const char *sentence)
{
    char text[1024], place[256] = "";
    const struct emu_call *call = emu_block.call;
    if (call && thread)
        snprintf(place, sizeof place, "kernel %s, block (%u,%u,%u), thread (%u,%u,%u), ",
                 call->kernel, emu_block.index.x, emu_block.index.y, emu_block.index.z,
                 thread->index.x, thread->index.y, thread->index.z);
    else if (call)
        snprintf(place, sizeof place, "kernel %s, block (%u,%u,%u), ", call->kernel,
                 emu_block.index.x, emu_block.index.y, emu_block.index.z);
    int bytes =
        snprintf(text, sizeof text, "emulator: fault: %sat %s: %s\n", place, line, sentence);
    fflush(stdout);
    if (write(STDERR_FILENO, text, (size_t)bytes < sizeof text ? (size_t)bytes : sizeof text) < 0)
        _exit(2);
    abort();
}

void emu_fault(const struct emu_thread *thread, const void *pc, const char *format, ...)
{
    char sentence[512], line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    emu_line(pc, line, sizeof line);
    end(thread, line, sentence);
}

void emu_fault_at(const struct emu_thread *thread, struct emu_site site, const char *format, ...)
{
    char sentence[512], line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    snprintf(line, sizeof line, "%s:%d", without_folder(site.file), site.line);
    end(thread, line, sentence);
}

void emu_trap(const char *file, int line)
{
    emu_fault_at(emu_block.thread, (struct emu_site){file, line}, "__trap()");
}
