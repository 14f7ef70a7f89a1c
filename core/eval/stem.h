/* Porter's stemmer (Program 14(3), 1980) with the changes of NLTK's default mode, which METEOR
 * uses. */
#ifndef SCMM_EVAL_STEM_H
#define SCMM_EVAL_STEM_H

/* The stem of a lower-case word; the caller frees. Bytes outside a-z count as consonants. */
char *stem_porter(const char *word);
#endif
