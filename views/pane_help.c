/* The help screen, made from the table of actions; and that table itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "views/pane.h"

const ActionInfo *action_info(Action a)
{
    static const ActionInfo table[N_ACTIONS] = {[ACT_NONE] = {"", "", "", ""},
#define X(id, command, keys, help, title) [ACT_##id] = {command, keys, help, title},
                                                ACTIONS(X)
#undef X
    };
    return &table[a < N_ACTIONS ? a : ACT_NONE];
}

Action action_find(const char *command)
{
    Action found = ACT_NONE;
    for (Action a = 1; a < N_ACTIONS; a++) {
        if (!strcmp(action_info(a)->command, command))
            return a;
        if (*command && str_starts(action_info(a)->command, command)) {
            if (found != ACT_NONE)
                return ACT_NONE;
            found = a;
        }
    }
    return found;
}

static void add_actions(Doc *d)
{
    for (Action i = 1; i < N_ACTIONS; i++) {
        const ActionInfo *info = action_info(i);
        if (*info->title) {
            if (d->n)
                doc_blank(d);
            doc_add(d, theme_style(ROLE_TITLE), 0, info->title);
        }
        char *value = str_format(":%-16s %s", info->command, info->help);
        char *keys = str_format("  %s", info->keys);
        doc_pair_hang(d, 15, 33, keys, theme_style(ROLE_TEXT), value);
        free(value);
        free(keys);
    }
}

void pane_help_draw(App *a, Canvas *c, Rect screen)
{
    int w = screen.w < 96 ? screen.w : 96, h = screen.h;
    Rect r = {screen.x + (screen.w - w) / 2, screen.y, w, h};
    Rect inner = {r.x + 2, r.y + 1, r.w - 4, r.h - 2};
    canvas_fill(c, r, ' ', theme_style(ROLE_TEXT));
    canvas_box(c, r, theme_style(ROLE_FOCUS));
    canvas_text(c, r.x + 2, r.y, r.w - 4, theme_style(ROLE_FOCUS),
                " Help: up and down scroll, any other key closes ");
    Doc d = {.width = inner.w};
    add_actions(&d);
    doc_blank(&d);
    doc_add(&d, theme_style(ROLE_TITLE), 0, "With arguments");
    doc_pair(&d, 15, "  :color", theme_style(ROLE_TEXT),
             "GENE or column     :select RULE     :ask TEXT     :generate [N] TEXT");
    doc_pair(&d, 15, "  :resolution", theme_style(ROLE_TEXT),
             "1.5     :seed 7     :write FILE.svg     :write-data FILE.tsv");
    doc_blank(&d);
    doc_add(&d, theme_style(ROLE_DIM), 0,
            "Mouse: click chooses, drag on the map selects, wheel zooms; hold Shift (Option on a "
            "Mac) to select text in the terminal.");
    int max = (int)d.n > inner.h ? (int)d.n - inner.h : 0;
    a->help_top = a->help_top > max ? max : a->help_top < 0 ? 0 : a->help_top;
    a->help_lines = (int)d.n;
    a->help_height = inner.h;
    Rect former = canvas_clip(c, r);
    doc_draw(&d, c, inner, a->help_top);
    canvas_unclip(c, former);
    doc_free(&d);
}
