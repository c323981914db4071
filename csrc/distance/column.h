/* What an instruction set's column of the table holds, by the names that its file gave the functions:
 * included inside the initialiser, after `.isa` and `.needs`. */
    .f32 = {TILE_ROWS, PANEL_F32, inner_tile_f32, cityblock_tile_f32, select_f32, pack_f32,
            expand_f32, cosine_finish_f32, root_f32},
    .f64 = {TILE_ROWS, PANEL_F64, inner_tile_f64, cityblock_tile_f64, select_f64, pack_f64,
            expand_f64, cosine_finish_f64, root_f64},
    .rows =
        {
#define RAUDO_SCALAR_METRIC(...)
#define RAUDO_METRIC(name, type, input, output) [RAUDO_##name##_##type] = rows_##name##_##type,
#include "distance/metrics.def"
        },
    .strips =
        {
#define RAUDO_SCALAR_METRIC(...)
#define RAUDO_METRIC(...)
#define RAUDO_STRIP_METRIC(name, type, input, output)                                             \
    [RAUDO_##name##_##type] = strip_##name##_##type,
#include "distance/metrics.def"
        },
