/* fiber.c: the switch of contexts: on x86-64 what the ABI says a function keeps, some 2 ns;
 * elsewhere ucontext, which asks the kernel each time. */
#include "fiber.h"

#include <stdint.h>

#ifdef __x86_64__

void emu_stack_switch(void **from_sp, void *to_sp);

__asm__(".text\n"
        ".p2align 4\n"
        ".globl emu_stack_switch\n"
        ".hidden emu_stack_switch\n"
        ".type emu_stack_switch, @function\n"
        "emu_stack_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size emu_stack_switch, . - emu_stack_switch\n");

#define SAVED 6 /* Registers that the switch pops before it returns. */

void emu_context_make(struct emu_context *context, void *stack, size_t bytes, void (*entry)(void))
{
    uintptr_t top = ((uintptr_t)stack + bytes) & ~(uintptr_t)15;
    void **sp = (void **)top;
    *--sp = NULL; /* A function begins 8 bytes off a multiple of 16, above its return address. */
    *--sp = (void *)entry;
    for (int i = 0; i < SAVED; i++) *--sp = NULL;
    context->sp = sp;
}

void emu_context_switch(struct emu_context *from, struct emu_context *to)
{
    emu_stack_switch(&from->sp, to->sp);
}

#else

void emu_context_make(struct emu_context *context, void *stack, size_t bytes, void (*entry)(void))
{
    (void)getcontext(&context->place);
    context->place.uc_stack.ss_sp = stack;
    context->place.uc_stack.ss_size = bytes;
    context->place.uc_link = NULL;
    makecontext(&context->place, entry, 0);
}

void emu_context_switch(struct emu_context *from, struct emu_context *to)
{
    (void)swapcontext(&from->place, &to->place);
}

#endif
