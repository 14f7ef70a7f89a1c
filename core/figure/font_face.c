/* The four faces of Liberation Sans are opened where distributions put them: reading the configuration of all fonts of the
 * system takes longer than drawing. Only for characters that they lack is that configuration asked. */
#include "core/figure/font_face.h"

#include <cairo-ft.h>
#include <fontconfig/fontconfig.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"

enum { FACES = 4, OTHERS = 32 };

static Font faces[FACES]; /* 1 bold, 2 italic; kept until the end */
static bool tried[FACES];
static struct Other {
    Font font;
    int style;
} others[OTHERS];
static size_t n_others;
static bool told; /* that a character has no font */
static FT_Library library;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int style_of(const TextStyle *s)
{
    return (s->bold ? 1 : 0) + (s->italic ? 2 : 0);
}

static bool open_file(const char *path, long index, Font *out)
{
    if ((!library && FT_Init_FreeType(&library) != 0) || FT_New_Face(library, path, index, &out->ft) != 0)
        return false;
    out->cairo = cairo_ft_font_face_create_for_ft_face(out->ft, 0);
    return true;
}

/* What fontconfig keeps looks like a leak, as it refers to itself by offsets. */
static void forget_configuration(void)
{
    FcFini();
}

/* The system's choice; character 0: any. */
static bool open_matching(int style, uint32_t character, Font *out)
{
    FcResult result;
    FcChar8 *file;
    int index = 0;
    bool found = false;
    static bool asked;
    if (!asked)
        asked = atexit(forget_configuration) == 0;
    FcPattern *wanted = FcPatternCreate();
    FcPatternAddString(wanted, FC_FAMILY, (const FcChar8 *)"Liberation Sans");
    FcPatternAddString(wanted, FC_FAMILY, (const FcChar8 *)"sans-serif");
    FcPatternAddInteger(wanted, FC_WEIGHT, style & 1 ? FC_WEIGHT_BOLD : FC_WEIGHT_REGULAR);
    FcPatternAddInteger(wanted, FC_SLANT, style & 2 ? FC_SLANT_ITALIC : FC_SLANT_ROMAN);
    if (character) {
        FcCharSet *set = FcCharSetCreate();
        FcCharSetAddChar(set, character);
        FcPatternAddCharSet(wanted, FC_CHARSET, set);
        FcCharSetDestroy(set);
    }
    FcConfigSubstitute(NULL, wanted, FcMatchPattern);
    FcDefaultSubstitute(wanted);
    FcPattern *match = FcFontMatch(NULL, wanted, &result);
    if (match && FcPatternGetString(match, FC_FILE, 0, &file) == FcResultMatch) {
        FcPatternGetInteger(match, FC_INDEX, 0, &index);
        found = open_file((const char *)file, index & 0xFFFF, out);
    }
    if (match)
        FcPatternDestroy(match);
    FcPatternDestroy(wanted);
    return found;
}

static bool open_liberation(int style, Font *out)
{
    static const char *const folders[] = {"truetype/liberation", "truetype/liberation2", "liberation-sans", "liberation"};
    static const char *const styles[FACES] = {"Regular", "Bold", "Italic", "BoldItalic"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[128];
        snprintf(path, sizeof path, "/usr/share/fonts/%s/LiberationSans-%s.ttf", folders[i], styles[style]);
        if (open_file(path, 0, out))
            return true;
    }
    return false;
}

const Font *font_of(const TextStyle *s)
{
    int style = style_of(s);
    pthread_mutex_lock(&lock);
    if (!tried[style] && !open_liberation(style, &faces[style]))
        (void)open_matching(style, 0, &faces[style]);
    tried[style] = true;
    pthread_mutex_unlock(&lock);
    return faces[style].ft ? &faces[style] : NULL;
}

static const Font *find_other(int style, uint32_t character)
{
    for (size_t i = 0; i < n_others; i++)
        if (others[i].style == style && FT_Get_Char_Index(others[i].font.ft, character))
            return &others[i].font;
    Font found = {0};
    if (n_others == OTHERS || !open_matching(style, character, &found))
        return NULL;
    if (!FT_Get_Char_Index(found.ft, character)) { /* the nearest that there is */
        cairo_font_face_destroy(found.cairo);
        FT_Done_Face(found.ft);
        return NULL;
    }
    others[n_others] = (struct Other){found, style};
    return &others[n_others++].font;
}

const Font *font_with(const TextStyle *s, uint32_t character)
{
    const Font *usual = font_of(s), *other;
    if (usual && FT_Get_Char_Index(usual->ft, character))
        return usual;
    pthread_mutex_lock(&lock);
    other = find_other(style_of(s), character);
    if (!other && !told) {
        log_warn("no font on this machine has the character U+%04X; PNG and PDF show an empty box for such ones", (unsigned)character);
        told = true;
    }
    pthread_mutex_unlock(&lock);
    return other;
}
