/* Bytes from the terminal -> keys, mouse events and pasted text. Keys have names ("a", "C-c", "Up",
 * "M-Enter", "S-Tab", "F1"), which is what the key map and the configuration use. */
#ifndef SCMM_TUI_INPUT_H
#define SCMM_TUI_INPUT_H
#include "views/app.h"

typedef enum EventKind { EVENT_NONE, EVENT_KEY, EVENT_MOUSE, EVENT_PASTE } EventKind;

typedef struct Event {
    EventKind kind;
    char name[24];           /* of the key; "" when it has none */
    unsigned char bytes[64]; /* what the terminal sent, for the line editor; paste: one character */
    size_t n_bytes;
    MouseKind mouse;
    int x, y;
} Event;

typedef struct Input {
    unsigned char data[8192];
    size_t n;
    bool pasting;
} Input;

/* Room for more bytes: read() into here, then add to n. */
size_t input_room(Input *in, unsigned char **where);
/* The next event; false when more bytes are needed. With `final` (nothing followed for a while) an
 * unfinished sequence is taken as it stands: Esc alone is the key Esc. */
bool input_next(Input *in, bool final, Event *out);
#endif
