/* kv/kv_image_format.h - the bytes of an image; docs/DATA_DIR.md has them as a table. Only for the
 * two files that write and read them. */
#pragma once

#define IMAGE_MAGIC            "CNCLVIMG"
#define IMAGE_MAGIC_SIZE       8u
/* The second one has documents, and is written only when there are any; the third one may have
 * documents and has leases or had some, and is written only when any was ever granted: an older
 * version reads all others. The fourth one may have all of that and has users and roles, or had
 * some. */
#define IMAGE_FORMAT_PLAIN     1u
#define IMAGE_FORMAT_DOCUMENTS 2u
#define IMAGE_FORMAT_LEASES    3u
#define IMAGE_FORMAT_AUTH      4u

/* An item begins with its kind. Items of a kind stand together, in this order: leases by grant;
 * the head of auth, users by name, roles by name, each as its bytes (kv_auth_table.h); keys as they
 * were before the first change, in key order; documents, changes, answers to retries, each in their
 * own order; the end with the digest. */
enum image_item {
    IMAGE_BASE = 1,
    IMAGE_PUT = 2,
    IMAGE_DELETE = 3,
    IMAGE_RETRY = 4,
    IMAGE_END = 5,
    IMAGE_DOCUMENT = 6,
    IMAGE_LEASE = 7,
    IMAGE_AUTH = 8,
    IMAGE_AUTH_USER = 9,
    IMAGE_AUTH_ROLE = 10,
};
