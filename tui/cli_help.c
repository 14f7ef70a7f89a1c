/* `scmmgpt COMMAND --help`: what each command's own options mean. An end-to-end test looks for every option of the source
 * here. */
#include "tui/cli.h"

#include <stdio.h>
#include <string.h>

typedef struct Option {
    const char *commands; /* " plot embed " */
    const char *option, *text;
} Option;

static const Option options[] = {
    {" expr ", "--lognorm", "log1p of counts per 10,000 instead of the stored values"},
    {" plot ", "--color KEY_OR_GENE", "an obs column, a gene, qc:mito, score:A,B; may be repeated, a panel each"},
    {" plot ", "--annotate", "colour by the type of every cell, as annotate finds it"},
    {" plot ", "--query \"TEXT\"", "colour by (violin, histogram: show) how well each cell fits the words"},
    {" plot ", "--groups T.tsv[:COLUMN]", "colour by a table of cells, such as annotate writes"},
    {" plot ", "--generate \"TEXT\"", "generate cells and draw them hollow on the map; -n N of them (200)"},
    {" plot ", "--generated CELLS.h5ad", "draw cells that generate --like wrote"},
    {" plot ", "--basis umap", "which embedding: obsm/X_umap"},
    {" plot ", "--split-by KEY", "a panel for each value of an obs column"},
    {" plot ", "--highlight A,B", "these groups in colour, the others grey; in a histogram alone"},
    {" plot ", "--view X0,Y0,X1,Y1", "only this part of the map"},
    {" plot ", "--kind dotplot|matrix|heatmap|violin|histogram|composition", "another kind of figure; --groupby KEY names its groups"},
    {" plot ", "--genes A,B,C", "genes of the other kinds; or --markers N of each group"},
    {" plot ", "--cells RULE", "only these cells: leiden=3, CD3E>0, @FILE; on a map the others are grey"},
    {" plot ", "--scale-genes", "the other kinds: each gene from 0 to 1"},
    {" plot ", "--absolute", "composition: cells instead of shares"},
    {" plot ", "--size 85mm|170mm|slide|square", "width of the figure; also 120x80mm"},
    {" plot ", "--dpi 300", "resolution of PNG and of points inside SVG and PDF"},
    {" plot ", "--style paper|meeting|poster", "size of text and marks"},
    {" plot ", "--legend right|data|both|none", "where the names of groups stand"},
    {" plot ", "--frame arrows|full|none", "axes"},
    {" plot ", "--letters", "a, b, c before the titles of panels"},
    {" plot ", "--ncols N", "panels in a row"},
    {" plot ", "--size-scale 1", "points larger or smaller"},
    {" plot ", "--cmap viridis|magma|cividis|rdbu", "colours of numbers"},
    {" plot ", "--vmin V --vmax V --vcenter V", "ends and middle of the scale; p99 for a percentile"},
    {" plot ", "--zero-grey", "cells with 0 in grey"},
    {" plot ", "--free-scales", "each panel of numbers its own scale"},
    {" plot ", "--vector-points auto|always|never", "SVG and PDF: points as vectors or as one image"},
    {" plot ", "--simulate deuteranopia|protanopia|tritanopia|greyscale", "as such a viewer or a printer sees it"},
    {" plot ", "--transparent", "PNG without a background"},
    {" plot ", "--sidecar", "FIG.json beside the figure"},
    {" plot ", "--strip-metadata", "no command, hashes and prompt in the file"},
    {" cluster ", "--resolution 1", "Leiden resolution: more, smaller clusters with a larger one"},
    {" cluster ", "--neighbors 15 --pcs 50 --hvg 2000", "neighbours, principal components, variable genes"},
    {" cluster ", "--use-rep KEY", "neighbours in this obsm instead of PCA"},
    {" cluster ", "--min-dist 0.5 --spread 1", "of UMAP"},
    {" cluster ", "--no-umap", "clusters only"},
    {" cluster ", "--cells RULE", "only these cells"},
    {" markers ", "--groupby KEY", "obs column of the groups"},
    {" markers de ", "--method wilcoxon|t-test|t-test_overestim_var", "the test"},
    {" markers ", "--stored", "the ranking that the file holds (uns/rank_genes_groups)"},
    {" markers de ", "--top N", "the first N genes"},
    {" de ", "--a RULE --b RULE", "the two sets: leiden=3, CD3E>0, 'cell_type=\"B cell\"', and, or, not, all, @FILE"},
    {" de ", "--samples KEY", "sums of each sample are compared: cells of one donor are not independent"},
    {" score ", "--genes A,B,C", "the gene set"},
    {" score ", "--name NAME", "header of the column"},
    {" demo ", "--out DIR", "without a terminal: the folder (demo-output)"},
    {" annotate ", "--labels FILE", "candidates, one a line, optionally with a description after a tab"},
    {" annotate ", "--labels-from KEY", "candidates are the values of an obs column"},
    {" annotate ", "--by KEY", "one row a group instead of one a cell"},
    {" annotate ", "--evidence W", "weight of the library's markers beside the model (1; 0: the model alone)"},
    {" annotate ", "--refine LAMBDA|off", "smoothing over the neighbour graph (by itself from 500 cells)"},
    {" annotate ", "--rerank K", "the matching head looks at the best K once more"},
    {" annotate ", "--few-shot REF.h5ad --few-shot-key KEY", "labelled cells that help"},
    {" query ", "--top N", "the best N cells only"},
    {" describe ", "--cells RULE", "which cells: leiden=3, CD3E>0, all, @FILE"},
    {" describe ", "--by KEY", "one description a group"},
    {" describe ", "-n MAX", "at most so many"},
    {" describe lm ", "--greedy | --beams N | --temperature T", "how words are chosen (greedy)"},
    {" generate ", "-n N", "how many cells (200)"},
    {" generate ", "--like FILE", "genes, depth and map of FILE; a report of quality against it"},
    {" generate ", "--genes-from FILE", "only the gene names of FILE"},
    {" generate ", "--label-key KEY", "labels of --like for the report"},
    {" eval ", "--label-key KEY", "obs column of the true labels"},
    {" eval ", "--tasks annotate,describe,generate,retrieve,cluster", "what to measure"},
    {" eval ", "--labels MAP.tsv", "stored label, plain name"},
    {" eval ", "--reference FILE[:KEY]", "labelled files for the baselines; may be repeated"},
    {" eval ", "--reference-labels RULES.tsv", "their labels"},
    {" eval ", "--absent LABELS.txt", "types added that no cell has"},
    {" eval ", "--prompts P.tsv --generate-prompts P.tsv", "prompts and the types they mean"},
    {" eval ", "--cells N --describe N", "cells generated a prompt; cells described"},
    {" train ", "--data DIR", "folder that the paths of CONFIG are relative to"},
    {" train ", "--resume DIR", "go on from the checkpoint there"},
    {" model ", "--verify", "check hashes and shapes"},
    {" import ", "--scgpt DIR --bert DIR --llama DIR", "published folders of the parts"},
    {" import ", "--adapter DIR", "a PEFT adapter of the language model"},
    {" import ", "--lightning FILE", "training checkpoints of stage 1 and 2; may be repeated"},
    {" import ", "--from-parts", "parts that are missing are initialised; the card says which"},
    {" import ", "--cell-values binned|raw|lognorm", "what the cell encoder eats"},
    {" import ", "--quantize q8|q4", "weight-only 8- or 4-bit language model"},
    {" import ", "--no-merge", "keep the adapter beside the weights, added while the model runs (with --quantize: in full precision)"},
    {" import ", "--token-types", "the text tower adds BERT's first token type, as sentence models were trained"},
    {" export ", "--to hf|scgpt", "language and text models for transformers, or the cell encoder for scGPT"},
    {" export ", "--member N", "which of several cell encoders (0)"},
    {" forward ", "--input IN.h5 --output OUT.h5", "tensors in, tensors out"},
    {" tokenize ", "--tower text|lm", "whose tokenizer"},
    {" tokenize ", "--decode \"1 2 3\" | --file F", "ids to text; text from a file"},
    {" lm ", "--max-new-tokens 64", "the most tokens to add"},
    {" lm ", "--top-p P", "sampling among the likeliest words of this mass"},
    {" lm ", "--logprobs", "natural logarithms of the tokens' probabilities"},
    {" bench ", "--parts LIST --runs N", "which parts, how often"},
    {" bench ", "--prompt-tokens N --new-tokens N", "of the language model (--model BUNDLE)"},
    {" bench ", "--against BUNDLE --text FILE", "what rounding costs on a text"},
};

void cli_print_options(FILE *f, const char *command)
{
    char key[64];
    snprintf(key, sizeof key, " %s ", command);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (strstr(options[i].commands, key))
            fprintf(f, "    %-42s %s\n", options[i].option, options[i].text);
}
