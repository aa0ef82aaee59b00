/* types.c: names of the vocabulary, all from the lists in types.h. */
#include "types.h"

#include <string.h>

#define NAMER(function, type, MAP)                                                                 \
    const char *function(enum type value)                                                          \
    {                                                                                              \
        switch (value) {                                                                           \
            MAP(CASE)                                                                              \
        }                                                                                          \
        return "?";                                                                                \
    }
#define CASE(name, value, text, ...)                                                               \
    case value:                                                                                    \
        return text;

NAMER(owm_tier_name, owm_tier, OWM_TIER_MAP)
NAMER(owm_task_type_name, owm_task_type, OWM_TASK_TYPE_MAP)
NAMER(owm_node_status_name, owm_node_status, OWM_NODE_STATUS_MAP)
NAMER(owm_task_state_name, owm_task_state, OWM_TASK_STATE_MAP)
NAMER(owm_round_state_name, owm_round_state, OWM_ROUND_STATE_MAP)
NAMER(owm_part_state_name, owm_part_state, OWM_PART_STATE_MAP)
NAMER(owm_log_what_name, owm_log_what, OWM_LOG_WHAT_MAP)
NAMER(owm_signal_type_name, owm_signal_type, OWM_SIGNAL_TYPE_MAP)
NAMER(owm_code_name, owm_code, OWM_CODE_MAP)
NAMER(owm_why_name, owm_why, OWM_WHY_MAP)
#undef CASE
#define CASE(name, value, code, text)                                                              \
    case value:                                                                                    \
        return text;
NAMER(owm_code_text, owm_code, OWM_CODE_MAP)
NAMER(owm_why_text, owm_why, OWM_WHY_MAP)
#undef CASE

#define PARSER(function, type, MAP)                                                                \
    owm_status function(const char *name, enum type *out)                                          \
    {                                                                                              \
        MAP(MATCH)                                                                                 \
        return OWM_E_PROTO;                                                                        \
    }
#define MATCH(id, value, text, ...)                                                                \
    if (strcmp(name, text) == 0) {                                                                 \
        *out = (value);                                                                            \
        return OWM_OK;                                                                             \
    }

PARSER(owm_tier_parse, owm_tier, OWM_TIER_MAP)
PARSER(owm_task_type_parse, owm_task_type, OWM_TASK_TYPE_MAP)
PARSER(owm_node_status_parse, owm_node_status, OWM_NODE_STATUS_MAP)
PARSER(owm_task_state_parse, owm_task_state, OWM_TASK_STATE_MAP)
PARSER(owm_round_state_parse, owm_round_state, OWM_ROUND_STATE_MAP)
PARSER(owm_part_state_parse, owm_part_state, OWM_PART_STATE_MAP)
PARSER(owm_signal_type_parse, owm_signal_type, OWM_SIGNAL_TYPE_MAP)

static const struct {
    int class;
    enum owm_tier min_tier;
    int weight_tenths;
} task_types[OWM_TASK_TYPES] = {
#define X(name, value, text, class, tier, weight) [value] = {class, tier, weight},
    OWM_TASK_TYPE_MAP(X)
#undef X
};

int owm_task_type_class(enum owm_task_type type)
{
    return task_types[type].class;
}

enum owm_tier owm_task_type_min_tier(enum owm_task_type type)
{
    return task_types[type].min_tier;
}

int owm_task_type_weight_tenths(enum owm_task_type type)
{
    return task_types[type].weight_tenths;
}
