/* The one table of subcommands: X(name, function, usage, one line of help). Functions are in cli_*.c. */
#ifndef SCMM_TUI_CLI_COMMANDS_H
#define SCMM_TUI_CLI_COMMANDS_H
#include "tui/cli.h"

#include "core/base/version.h"

#define CLI_COMMANDS(X)                                                                            \
    X("info", cli_info, "FILE [--json]", "what is in the file")                                      \
    X("genes", cli_genes, "FILE [NAME...]", "how gene names resolve; without names: all genes")      \
    X("expr", cli_expr, "FILE GENE... [--lognorm] [-o T.tsv]", "values of genes for all cells")      \
    X("cache", cli_cache, "[clear | build FILE]", "copies by gene of large files, for quick colouring") \
    X("convert", cli_convert, "FILE -o OUT.h5ad", "any readable input as current h5ad")              \
    X("plot", cli_plot, "FILE --color KEY|--query TEXT -o FIG.png|.svg|.pdf", "the embedding as a figure")   \
    X("cluster", cli_cluster, "FILE -o OUT.h5ad [--resolution 1]", "clusters, UMAP and neighbour graph")   \
    X("markers", cli_markers, "FILE --groupby KEY [-o T.tsv]", "marker genes of each group")             \
    X("de", cli_de, "FILE --a RULE --b RULE [-o T.tsv]", "genes that differ between two sets of cells")  \
    X("score", cli_score, "FILE --genes A,B,C [-o T.tsv]", "score of a gene set in each cell")            \
    X("qc", cli_qc, "FILE [-o T.tsv]", "counts, genes, mitochondrial and ribosomal share of each cell")  \
    X("demo", cli_demo, "[--out DIR]", "the explorer on the shipped data; without a terminal, a tour")   \
    X("embed", cli_embed, "FILE -o OUT.h5ad", "cell vectors: X_scmmgpt (shared with text), X_scgpt")   \
    X("model", cli_model, "[DIR] [--json] [--verify]", "what a model bundle holds")                \
    X("train", cli_train, "CONFIG.json [--data DIR] [-o DIR] [--resume DIR]", "one stage: pretrain, 1, 2 or generator") \
    X("annotate", cli_annotate, "FILE [--labels FILE | --labels-from KEY] [--by KEY] [-o T.tsv]", "cell types")   \
    X("query", cli_query, "FILE \"TEXT\" [--top N] [-o T.tsv]", "the cells that a prompt means")                \
    X("describe", cli_describe, "FILE --cells RULE [--by KEY] [-n MAX] [--json]", "cells and groups in words")     \
    X("generate", cli_generate, "\"TEXT\" [-n N] [--genes-from FILE] [--like FILE] -o OUT.h5ad", "new cells from words") \
    X("eval", cli_eval, "FILE --label-key KEY [--tasks ...] [--json]", "how good the answers are, beside baselines") \
    X("bench", cli_bench, "[FILE] [--json]", "how fast each part is on this machine")              \
    X("import", cli_import, "[--scgpt DIR] [--bert DIR] [--llama DIR] [...] -o BUNDLE", "a bundle from public checkpoints")   \
    X("export", cli_export, "[--model BUNDLE] --to hf|scgpt -o DIR", "a bundle's parts as transformers or scGPT load them")   \
    X("forward", cli_forward, "--model BUNDLE --input IN.h5 --output OUT.h5", "raw tensors through a bundle's parts")   \
    X("tokenize", cli_tokenize, "--model DIR [--tower text|lm] TEXT | --decode IDS", "ids of a text, text of ids")   \
    X("lm", cli_lm, "--model DIR PROMPT [--beams 5] [--logprobs]", "a language model continues a prompt")   \
    X("doctor", cli_doctor, "[--json]", "what was detected, and what to do about it")

/* "T.tsv:COLUMN", or T.tsv alone: its second column; of --groups. In cli_plot.c. */
CHECKED Err cli_read_groups(Session *s, const char *table, Groups **out);

#define X(name, function, usage, help) Err function(CliArgs *a);
CLI_COMMANDS(X)
#undef X
#endif
