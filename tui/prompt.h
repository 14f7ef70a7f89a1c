/* The line editor: readline's callback interface, without its terminal handling. What it edits goes
 * to the App. */
#ifndef SCMM_TUI_PROMPT_H
#define SCMM_TUI_PROMPT_H
#include "tui/input.h"
#include "views/app.h"

/* history_path: where questions are kept between sessions; NULL: nowhere. */
void prompt_init(App *a, const char *history_path);
void prompt_done(void);
/* Begins or ends editing when the App's prompt has changed; call after every event. */
void prompt_sync(void);
/* One event while a prompt is open. */
void prompt_event(const Event *e);
#endif
