/* The settings file of `--config`: read whole or refused with a reason, whatever it holds. */
#include "base/check.h"
#include "cmd/config_file.h"
#include "cmd/server_settings.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FILE *file = tmpfile();
    CHECK(file != NULL);
    CHECK_CMP(fwrite(data, 1, size, file), ==, size);
    CHECK(fflush(file) == 0);
    rewind(file);
    char path[32];
    snprintf(path, sizeof(path), "/dev/fd/%d", fileno(file));
    struct options o;
    options_init(&o, "conclave server", server_option_rows, SERVER_OPTION_COUNT);
    const char *nearest = NULL;
    const struct option *name = options_find(&o, "name", &nearest);
    CHECK(name != NULL);
    if (config_file_read(&o, path, (size_t)(name - server_option_rows)) == STATUS_OK) {
        CHECK(options_apply_defaults(&o) == STATUS_OK); /* what a file leaves open has a default */
        CHECK(options_text(&o, (size_t)(name - server_option_rows)) != NULL);
    } else {
        CHECK(options_error(&o)[0] != '\0');
    }
    options_deinit(&o);
    fclose(file);
    return 0;
}
