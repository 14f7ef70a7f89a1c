/* The constants of annotation. Set on held-out cells of the training sets only (tests/eval says how); never on the files
 * that the program is judged by. */
#ifndef SCMM_SESSION_ANNOTATE_TUNING_H
#define SCMM_SESSION_ANNOTATE_TUNING_H

/* score = z(similarity) + share * W * z(markers), W the person's --evidence. */
#define ANNOTATE_SHARE 0.5         /* a list of candidates */
#define ANNOTATE_LIBRARY_SHARE 0.3 /* the whole library: hundreds of lists make more noise */
#define ANNOTATE_GENERAL 0.15      /* the whole library: general types step back by this * log(1 + their subtypes) */
#define ANNOTATE_SHARPNESS 3.0     /* softmax(score * this) */
#define ANNOTATE_SMOOTHED_POWER 1.3 /* probabilities after smoothing are raised to this and normalised */
#define ANNOTATE_REFINE_LAMBDA 2.0
#define ANNOTATE_REFINE_CELLS 500 /* smoothing is on by itself from here */
#define ANNOTATE_NEIGHBOURS 15
#define ANNOTATE_SURE 0.5         /* a cell of a rare label keeps its own answer from this probability */
#define ANNOTATE_FEW_SHOT 2.0     /* weight of the reference cells beside texts and markers */
#define ANNOTATE_MATCH 0.5        /* weight of the matching head's log odds among the best K */
#define UNKNOWN_MARGIN 0.3        /* another type fits this much better than every candidate (units of score) */
#define UNKNOWN_LEVEL (-3.6)      /* with the whole library as candidates: -score of the best */
#define UNKNOWN_LAMBDA 1.0        /* smoothing of the unknown score where labels are smoothed */
#define UNKNOWN_KIN 0.6           /* a label that the library does not know is kin of types with a text this near */
/* Another type fits the five best cells of a prompt this much better than what was asked for: it is absent. */
#define QUERY_ABSENT 0.4
#endif
