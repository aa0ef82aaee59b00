/* fiber.h: contexts that a thread of the host switches between: a GPU's threads are run on them. */
#ifndef OWM_TESTS_KERNELS_EMU_FIBER_H
#define OWM_TESTS_KERNELS_EMU_FIBER_H

#include <stddef.h>
#ifndef __x86_64__
#include <ucontext.h>
#endif

struct emu_context {
#ifdef __x86_64__
    void *sp;
#else
    ucontext_t place;
#endif
};

/** emu_context_make: a context that begins in entry, which never returns. */
void emu_context_make(struct emu_context *context, void *stack, size_t bytes, void (*entry)(void));

/** emu_context_switch: leave into `from`, go on where `to` was left. */
void emu_context_switch(struct emu_context *from, struct emu_context *to);

#endif
