/* A bundle on disk: one folder with config.json, the parts it names, SHA256SUMS and MODEL_CARD.md.
 * Parts are written one by one by the training stages; config.json lists what is there.
 *
 *   config.json            name, stage1 {shape}, members, temperature, trained types, decoder {},
 * generator {} vocab.json             genes (as scGPT's), genes.safetensors: fraction, mean, sd
 *   text.json, text.safetensors, vocab.txt      the text tower
 *   member0.safetensors ...                     stage 1, one file a seed
 *   library.safetensors    sentence vectors of the library
 *   decoder.safetensors, decoder.json           cell to text
 *   generator.safetensors, generator.json       text to cell */
#ifndef SCMM_MODEL_BUNDLE_H
#define SCMM_MODEL_BUNDLE_H
#include "core/model/genespace.h"
#include "core/model/stage1.h"
#include "core/model/weights.h"

char *bundle_path(const char *dir, const char *file); /* caller frees */
/* DIR/config.json (an empty object when there is none and `missing_ok`); caller cJSON_Delete()s. */
CHECKED Err bundle_read_config(const char *dir, bool missing_ok, cJSON **out);
CHECKED Err bundle_write_config(const char *dir, const cJSON *config);
/* Text to a file through a temporary one. */
CHECKED Err bundle_write_text(const char *path, const char *text);
/* vocab.json and genes.safetensors. */
CHECKED Err bundle_read_genes(const char *dir, GeneSpace **out);
CHECKED Err bundle_write_genes(const char *dir, const GeneSpace *s);
/* A file, whole, to another place. */
CHECKED Err bundle_copy_file(const char *from, const char *to);
/* Removes a folder of plain files. */
void bundle_remove_folder(const char *dir);
/* SHA256SUMS over every file of the folder but itself (sub-folders and log files are left out). */
CHECKED Err bundle_write_sums(const char *dir);
/* The hash of SHA256SUMS. */
CHECKED Err bundle_sha256(const char *dir, char hex[65]);
CHECKED Err bundle_verify(const char *dir);
#endif
