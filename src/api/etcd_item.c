#include "api/etcd_item.h"

void etcd_item_fill(const struct kv_item *item, Mvccpb__KeyValue *kv)
{
    mvccpb__key_value__init(kv);
    kv->key = (ProtobufCBinaryData){.len = item->key.size, .data = (uint8_t *)item->key.data};
    kv->value = (ProtobufCBinaryData){.len = item->value.size, .data = (uint8_t *)item->value.data};
    kv->create_revision = (int64_t)item->create_revision;
    kv->mod_revision = (int64_t)item->revision;
    kv->version = (int64_t)item->version;
    kv->lease = (int64_t)item->lease;
}
