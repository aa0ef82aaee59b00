/* send.c: output of a connection: pages of the loop's memory, in order, until the kernel has it.
 *
 * 1. A page belongs to one connection while it holds output or a reservation, and to the loop else:
 *    an idle connection has none.
 * 2. The kernel may be reading a page while more is added behind: a page only moves forward.
 */
#include <assert.h>

#include "net_internal.h"

static_assert(OWM_NET_PIECE_BYTES == NET_PAGE_BYTES - sizeof(struct net_page), "see net.h");

static struct net_arena *arena_of(struct owm_net_loop *loop, size_t capacity)
{
    bool small = capacity <= OWM_NET_PIECE_BYTES;
    return small ? &loop->pages : &loop->large_pages;
}

static struct net_page *take_page(struct owm_net_loop *loop, size_t bytes)
{
    struct net_arena *arena = arena_of(loop, bytes);
    struct net_page *page = net_arena_take(arena);
    if (!page) return NULL;
    page->next = NULL;
    page->start = page->end = 0;
    page->capacity = (uint32_t)(arena->slot_bytes - sizeof *page);
    return page;
}

static void give_page(struct owm_net_loop *loop, struct net_page *page)
{
    net_arena_give(arena_of(loop, page->capacity), page);
}

static struct net_page *pop_page(struct owm_net_conn *conn)
{
    struct net_page *page = conn->first;
    conn->first = page->next;
    if (!conn->first) conn->last = NULL;
    return page;
}

/* A reserved page is in the list if it holds earlier output; with that gone it is alone there. */
static void release_reserved(struct owm_net_conn *conn)
{
    struct net_page *page = conn->reserved;
    conn->reserved = NULL;
    if (!page || page->start != page->end) return;
    if (conn->last == page) (void)pop_page(conn);
    give_page(conn->loop, page);
}

void net_drop_output(struct owm_net_conn *conn)
{
    release_reserved(conn);
    while (conn->first) give_page(conn->loop, pop_page(conn));
    conn->waiting = 0;
    if (conn->dirty) conn->loop->dirty[conn->dirty - 1] = NULL;
    conn->dirty = 0;
}

void net_sent(struct owm_net_conn *conn, size_t bytes)
{
    net_count(&conn->loop->stats.sent_bytes, bytes);
    OWM_ASSERT(bytes <= conn->waiting);
    conn->waiting -= (uint32_t)bytes;
    while (bytes > 0) {
        struct net_page *page = conn->first;
        uint32_t held = page->end - page->start;
        uint32_t taken = bytes < held ? (uint32_t)bytes : held;
        page->start += taken;
        bytes -= taken;
        if (page->start == page->end && page != conn->reserved)
            give_page(conn->loop, pop_page(conn));
    }
}

void net_dirty(struct owm_net_conn *conn)
{
    struct owm_net_loop *loop = conn->loop;
    if (conn->dirty) return;
    if (loop->dirty_count == NET_SEND_BATCH) loop->transport->send(loop);
    loop->dirty[loop->dirty_count++] = conn;
    conn->dirty = (uint32_t)loop->dirty_count;
}

static bool too_much(const struct owm_net_conn *conn, size_t bytes)
{
    return conn->waiting + bytes > conn->loop->net->send_bytes_max;
}

uint8_t *owm_net_reserve(struct owm_net_conn *conn, size_t bytes)
{
    OWM_ASSERT(bytes > 0 && bytes <= OWM_NET_RESERVE_BYTES_MAX);
    struct owm_net_loop *loop = conn->loop;
    release_reserved(conn);
    if (too_much(conn, bytes) && conn->dirty) loop->transport->send(loop);
    if (!net_may_send(conn) || too_much(conn, bytes)) return NULL;
    struct net_page *page = conn->last;
    if (!page || page->capacity - page->end < bytes) {
        page = take_page(loop, bytes);
        if (!page) {
            loop->transport->send(loop);
            page = net_may_send(conn) ? take_page(loop, bytes) : NULL;
        }
        if (!page) return NULL;
    }
    conn->reserved = page;
    conn->reserved_bytes = (uint32_t)bytes;
    return page->data + page->end;
}

void owm_net_commit(struct owm_net_conn *conn, size_t bytes)
{
    struct net_page *page = conn->reserved;
    OWM_ASSERT(page && bytes <= conn->reserved_bytes);
    if (bytes == 0 || !net_may_send(conn)) {
        release_reserved(conn);
        return;
    }
    conn->reserved = NULL;
    if (conn->last != page) {
        if (conn->last)
            conn->last->next = page;
        else
            conn->first = page;
        conn->last = page;
    }
    page->end += (uint32_t)bytes;
    conn->waiting += (uint32_t)bytes;
    net_dirty(conn);
}

size_t owm_net_waiting(const struct owm_net_conn *conn)
{
    return conn->waiting;
}
