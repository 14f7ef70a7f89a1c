/* Fonts with a few glyphs, through HarfBuzz's subsetter. */
#include "core/figure/font_subset.h"

#include <hb-subset.h>
#include <string.h>

#include "core/base/mem.h"

/* The characters of the text; HarfBuzz decodes them. */
static void add_text(hb_set_t *set, const char *text)
{
    hb_buffer_t *b = hb_buffer_create();
    unsigned n;
    hb_buffer_add_utf8(b, text, -1, 0, -1);
    const hb_glyph_info_t *info = hb_buffer_get_glyph_infos(b, &n);
    for (unsigned i = 0; i < n; i++)
        hb_set_add(set, info[i].codepoint);
    hb_buffer_destroy(b);
}

static void choose(hb_subset_input_t *input, const char *text)
{
    static const hb_tag_t layout[] = {HB_TAG('G', 'S', 'U', 'B'), HB_TAG('G', 'D', 'E', 'F'), HB_TAG('k', 'e', 'r', 'n')};
    add_text(hb_subset_input_unicode_set(input), text);
    hb_subset_input_set_flags(input, HB_SUBSET_FLAGS_NO_HINTING);
    for (size_t i = 0; i < sizeof layout / sizeof *layout; i++)
        hb_set_add(hb_subset_input_set(input, HB_SUBSET_SETS_DROP_TABLE_TAG), layout[i]);
}

Err font_subset(const uint8_t *font, size_t n, const char *text, uint8_t **out, size_t *n_out)
{
    hb_blob_t *file = hb_blob_create((const char *)font, (unsigned)n, HB_MEMORY_MODE_READONLY, NULL, NULL), *part = NULL;
    hb_face_t *face = hb_face_create(file, 0), *small = NULL;
    hb_subset_input_t *input = hb_subset_input_create_or_fail();
    unsigned length = 0;
    Err err = OK;
    if (!input)
        FAIL_GOTO(ERR_NOMEM, "font: no memory for its part");
    choose(input, text);
    small = hb_face_get_glyph_count(face) ? hb_subset_or_fail(face, input) : NULL;
    part = small ? hb_face_reference_blob(small) : NULL;
    const char *data = part ? hb_blob_get_data(part, &length) : NULL;
    if (!length)
        FAIL_GOTO(ERR_INPUT, "font: is damaged or of a kind that cannot be divided");
    TRY_GOTO(NEW(*out, length));
    memcpy(*out, data, length);
    *n_out = length;
done:
    hb_blob_destroy(part);
    hb_face_destroy(small);
    hb_subset_input_destroy(input);
    hb_face_destroy(face);
    hb_blob_destroy(file);
    return err;
}
