/* api/json_body.h - a body that asks for something: a small JSON object, each field once. */
#pragma once

#include "api/rest.h"

#include <jansson.h>

/* The body, for the caller to json_decref. NULL: answered 400, with `form` as what it should have
 * been. Requires: the body is not empty. */
json_t *json_body_take(struct api *api, struct http_request *r, const char *form);
