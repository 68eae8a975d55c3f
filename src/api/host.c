#include "api/host.h"

#include "net/url.h"

#include <string.h>
#include <strings.h>

/* Without port and the dot that says that it is whole. */
static struct slice name_of(struct slice host)
{
    const uint8_t *colon = host.size > 0 ? memrchr(host.data, ':', host.size) : NULL;
    host.size = colon != NULL ? (size_t)(colon - host.data) : host.size;
    host.size -= host.size > 0 && host.data[host.size - 1] == '.' ? 1 : 0;
    return host;
}

static bool is_same(struct slice a, struct slice b)
{
    return a.size == b.size && strncasecmp((const char *)a.data, (const char *)b.data, a.size) == 0;
}

static bool ends_with(struct slice name, struct slice end)
{
    return name.size > end.size &&
           is_same(slice_of(name.data + name.size - end.size, end.size), end);
}

/* An IPv4 address in decimal; no name of the DNS looks like one. */
static bool is_address(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] != '.' && (name.data[i] < '0' || name.data[i] > '9')) {
            return false;
        }
    }
    return true;
}

static bool is_listed(struct slice name, const char *allowed)
{
    while (allowed != NULL && *allowed != '\0') {
        size_t size = strcspn(allowed, ",");
        struct slice item = slice_trim(slice_of(allowed, size));
        bool is_suffix = item.size > 1 && item.data[0] == '.';
        if (slice_equal(item, slice_str("*")) || is_same(name, item) ||
            (is_suffix && ends_with(name, item))) {
            return true;
        }
        allowed += size;
        allowed += *allowed == ',' ? 1 : 0;
    }
    return false;
}

static bool is_advertised(struct slice name, const char *advertise)
{
    struct url url;
    return advertise != NULL && url_parse(advertise, &url, NULL) == STATUS_OK &&
           is_same(name, slice_str(url.host));
}

bool host_is_known(struct slice host, const char *advertise, const char *allowed)
{
    if (host.size == 0 || host.data[0] == '[') {
        return true; /* none, as no browser sends it, or an IPv6 address */
    }
    struct slice name = name_of(host);
    bool has_dot = name.size > 0 && memchr(name.data, '.', name.size) != NULL;
    return !has_dot || is_address(name) || ends_with(name, slice_str(".localhost")) ||
           is_advertised(name, advertise) || is_listed(name, allowed);
}
