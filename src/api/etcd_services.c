/* etcd_services.c - which methods there are. */
#include "api/etcd_call.h"

static const struct etcd_service *const services[] = {
    &etcd_auth_service,    &etcd_kv_service,          &etcd_watch_service, &etcd_lease_service,
    &etcd_cluster_service, &etcd_maintenance_service, &etcd_lock_service,  &etcd_election_service,
};
#define SERVICE_COUNT (sizeof(services) / sizeof(services[0]))

/* "/etcdserverpb.KV/" of "/etcdserverpb.KV/Range" */
static struct slice service_of(struct slice path)
{
    while (path.size > 1 && path.data[path.size - 1] != '/') {
        path.size--;
    }
    return path;
}

const struct etcd_method *etcd_method_of_path(struct slice path, bool *is_service_known)
{
    struct slice service = service_of(path);
    *is_service_known = false;
    for (size_t i = 0; i < SERVICE_COUNT; i++) {
        if (!slice_equal(service, service_of(slice_str(services[i]->methods[0].path)))) {
            continue;
        }
        *is_service_known = true;
        for (size_t k = 0; k < services[i]->count; k++) {
            if (slice_equal(path, slice_str(services[i]->methods[k].path))) {
                return &services[i]->methods[k];
            }
        }
    }
    return NULL;
}

static bool has_route(const struct etcd_method *method, struct slice route)
{
    for (size_t i = 0; i < ETCD_ROUTES_MAX && method->routes[i] != NULL; i++) {
        if (slice_equal(route, slice_str(method->routes[i]))) {
            return true;
        }
    }
    return false;
}

const struct etcd_method *etcd_method_of_route(struct slice route)
{
    for (size_t i = 0; i < SERVICE_COUNT; i++) {
        for (size_t k = 0; k < services[i]->count; k++) {
            if (has_route(&services[i]->methods[k], route)) {
                return &services[i]->methods[k];
            }
        }
    }
    return NULL;
}
