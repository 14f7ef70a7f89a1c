/* The four faces of Liberation Sans, opened where distributions put them: reading the configuration of all fonts of the
 * system takes longer than drawing. */
#include <ft2build.h>
#include FT_FREETYPE_H
#include <cairo-ft.h>
#include <pthread.h>
#include <stdio.h>

#include "core/figure/draw_page.h"

static cairo_font_face_t *faces[4]; /* 1 bold, 2 italic; kept until the end */
static FT_Library library;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static cairo_font_face_t *open_face(const char *style)
{
    static const char *const folders[] = {"truetype/liberation", "truetype/liberation2", "liberation-sans", "liberation"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[128];
        FT_Face face;
        snprintf(path, sizeof path, "/usr/share/fonts/%s/LiberationSans-%s.ttf", folders[i], style);
        if (FT_New_Face(library, path, 0, &face) == 0)
            return cairo_ft_font_face_create_for_ft_face(face, 0);
    }
    return NULL;
}

static void open_all(void)
{
    static const char *const styles[] = {"Regular", "Bold", "Italic", "BoldItalic"};
    if (FT_Init_FreeType(&library) != 0)
        return;
    for (int k = 0; k < 4; k++)
        faces[k] = open_face(styles[k]);
}

void draw_set_font(Draw *d, const TextStyle *s)
{
    pthread_once(&once, open_all);
    cairo_font_face_t *face = faces[(s->bold ? 1 : 0) + (s->italic ? 2 : 0)];
    if (face)
        cairo_set_font_face(d->cr, face);
    else
        cairo_select_font_face(d->cr, "Liberation Sans", s->italic ? CAIRO_FONT_SLANT_ITALIC : CAIRO_FONT_SLANT_NORMAL,
                               s->bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(d->cr, s->size);
}
