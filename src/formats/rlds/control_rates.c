#include "formats/rlds/control_rates.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "formats/rlds/files.h"
#include "io/json.h"

#define METADATA_LIMIT_BYTES ((size_t)16 << 20)

#define CONVERTED "_converted_externally_to_rlds"

static const struct {
    const char *name;
    double rate_hz;
} table[] = {
    {"asu_table_top" CONVERTED, 12.5},
    {"austin_buds_dataset" CONVERTED, 20},
    {"austin_sailor_dataset" CONVERTED, 20},
    {"austin_sirius_dataset" CONVERTED, 20},
    {"bc_z", 10},
    {"berkeley_autolab_ur5", 5},
    {"berkeley_cable_routing", 10},
    {"berkeley_fanuc_manipulation", 10},
    {"berkeley_gnm_cory_hall", 5},
    {"berkeley_gnm_recon", 3},
    {"berkeley_gnm_sac_son", 10},
    {"berkeley_mvp" CONVERTED, 5},
    {"berkeley_rpt" CONVERTED, 30},
    {"bridge", 5},
    {"bridge_dataset", 5},
    {"bridge_orig", 5},
    {"bridge_oxe", 5},
    {"cmu_franka_exploration_dataset" CONVERTED, 10},
    {"cmu_play_fusion", 5},
    {"cmu_stretch", 10},
    {"columbia_cairlab_pusht_real", 10},
    {"dlr_edan_shared_control" CONVERTED, 5},
    {"dlr_sara_grid_clamp" CONVERTED, 10},
    {"dlr_sara_pour" CONVERTED, 10},
    {"droid", 15},
    {"droid_100", 15},
    {"fmb", 10},
    {"fractal20220817_data", 3},
    {"furniture_bench_dataset" CONVERTED, 10},
    {"iamlab_cmu_pickup_insert" CONVERTED, 20},
    {"imperialcollege_sawyer_wrist_cam", 10},
    {"jaco_play", 10},
    {"kaist_nonprehensile" CONVERTED, 10},
    {"kuka", 10},
    {"language_table", 10},
    {"libero_10", 20},
    {"libero_10_no_noops", 20},
    {"libero_90", 20},
    {"libero_90_no_noops", 20},
    {"libero_goal", 20},
    {"libero_goal_no_noops", 20},
    {"libero_object", 20},
    {"libero_object_no_noops", 20},
    {"libero_spatial", 20},
    {"libero_spatial_no_noops", 20},
    {"maniskill_dataset" CONVERTED, 20},
    {"nyu_door_opening_surprising_effectiveness", 3},
    {"nyu_franka_play_dataset" CONVERTED, 3},
    {"nyu_rot_dataset" CONVERTED, 3},
    {"robo_net", 1},
    {"roboturk", 10},
    {"stanford_hydra_dataset" CONVERTED, 10},
    {"stanford_kuka_multimodal_dataset" CONVERTED, 20},
    {"stanford_robocook" CONVERTED, 5},
    {"taco_play", 15},
    {"tokyo_u_lsmo" CONVERTED, 10},
    {"toto", 30},
    {"ucsd_kitchen_dataset" CONVERTED, 2},
    {"ucsd_pick_and_place_dataset" CONVERTED, 3},
    {"uiuc_d3field", 1},
    {"utaustin_mutex", 20},
    {"utokyo_pr2_opening_fridge" CONVERTED, 10},
    {"utokyo_pr2_tabletop_manipulation" CONVERTED, 10},
    {"utokyo_xarm_bimanual" CONVERTED, 10},
    {"utokyo_xarm_pick_and_place" CONVERTED, 10},
    {"viola", 20},
};

double rbc__control_rate(const char *name) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i) {
        if (strcmp(table[i].name, name) == 0) {
            return table[i].rate_hz;
        }
    }
    return 0;
}

rbc_status rbc__stored_control_rate(const char *folder, double *rate_hz, rbc_error *err) {
    char *path;
    char *text = NULL;
    size_t bytes = 0;
    *rate_hz = 0.0;
    RBC__TRY(rbc__join_path(folder, "metadata.json", &path, err));
    rbc_status status = access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR)
                            ? rbc__file_load(path, METADATA_LIMIT_BYTES, &text, &bytes, err)
                            : RBC_OK;
    json_t *root = NULL;
    rbc_error problem;
    if (text && rbc__json_parse(text, bytes, path, &root, &problem) == RBC_OK) {
        *rate_hz = json_number_value(json_object_get(root, RBC__CONTROL_RATE_KEY));
        json_decref(root);
    } else if (text && problem.status == RBC_ERROR_OUT_OF_MEMORY) {
        status = rbc__pass_on(&problem, err);
    } /* the file is whoever's: one that is no JSON object says nothing of the rate */
    free(text);
    free(path);
    return status;
}
