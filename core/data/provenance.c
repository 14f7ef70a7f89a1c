/* One list of keys, three ways to write it. */
#include "core/data/provenance.h"

#include <inttypes.h>
#include <stdlib.h>

enum { KEYS = 9 };

typedef struct Item {
    const char *key, *text;
    bool number;
} Item;

static void items_of(const Provenance *p, char seed[24], Item items[KEYS])
{
    snprintf(seed, 24, "%" PRIu64, p->seed);
    const Item all[KEYS] = {
        {"command", p->command, false},
        {"version", p->version, false},
        {"dataset_sha256", p->dataset_sha256, false},
        {"model_sha256", p->model_sha256, false},
        {"seed", seed, true},
        {"prompt", p->prompt, false},
        {"genes_matched", p->genes_matched, true},
        {"device", p->device, false},
        {"matrix", p->matrix, false},
    };
    for (int i = 0; i < KEYS; i++)
        items[i] = all[i];
}

void provenance_to_tree(const Provenance *p, Tree *uns)
{
    char seed[24];
    Item items[KEYS];
    items_of(p, seed, items);
    Tree *t = tree_dict(uns, "scmmgpt");
    for (int i = 0; i < KEYS - !p->matrix; i++)
        if (items[i].number && items[i].text)
            tree_set_int(t, items[i].key, (int64_t)strtoull(items[i].text, NULL, 10));
        else
            tree_set_text(t, items[i].key, items[i].text ? items[i].text : "");
}

void provenance_to_table(const Provenance *p, Table *t)
{
    char seed[24];
    Item items[KEYS];
    items_of(p, seed, items);
    for (int i = 0; i < KEYS - !p->matrix; i++)
        table_comment(t, items[i].key, items[i].text);
}

cJSON *provenance_to_json(const Provenance *p)
{
    char seed[24];
    Item items[KEYS];
    items_of(p, seed, items);
    cJSON *j = cJSON_CreateObject();
    for (int i = 0; i < KEYS - !p->matrix; i++) /* the last one only where there is one */
        if (!items[i].text)
            cJSON_AddNullToObject(j, items[i].key);
        else if (items[i].number)
            cJSON_AddNumberToObject(j, items[i].key, (double)strtoull(items[i].text, NULL, 10));
        else
            cJSON_AddStringToObject(j, items[i].key, items[i].text);
    return j;
}
