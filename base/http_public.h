/* http_public.h: which addresses belong to the public Internet. Private to base/. */
#ifndef OWM_BASE_HTTP_PUBLIC_H
#define OWM_BASE_HTTP_PUBLIC_H

#include <stdbool.h>
#include <sys/socket.h>

/** owm_http_address_public: false for what the special-purpose registries of IANA (RFC 6890) keep
 *  from the Internet: loopback, private, link-local, shared, multicast, documentation …, also when
 *  an IPv4 address hides in an IPv6 one; and for other families. */
bool owm_http_address_public(const struct sockaddr *address);

#endif
