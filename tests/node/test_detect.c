/* test_detect.c: SRS-NODE-03, the tier from fake sysfs trees and a fake NVML. */
#include "fixture.h"
#include "node/config.h"
#include "node/detect.h"
#include "test.h"

static struct owm_machine look(const char *sysfs, const char *procfs, const char *nvml, double mbps)
{
    struct owm_machine machine;
    const struct owm_detect_places places = {sysfs, procfs, nvml, mbps};
    owm_detect(&places, &machine);
    return machine;
}

/* SRS-NODE-03: amdgpu's files; the largest card counts, connectors are no cards. */
static void test_amd(void **state)
{
    (void)state;
    char root[128];
    fixture_folder(root);
    fixture_write(root, "class/drm/card0/device/mem_info_vram_total", "17163091968\n");
    fixture_write(root, "class/drm/card1/device/mem_info_vram_total", "25753026560\n");
    fixture_write(root, "class/drm/card1/device/product_name", "Radeon RX 7900 XTX\n");
    fixture_write(root, "class/drm/card1-DP-1/status", "connected\n");
    fixture_write(root, "class/net/eth0/speed", "1000\n");
    fixture_write(root, "class/net/lo/speed", "100000\n");
    fixture_write(root, "class/net/wlan0/speed", "-1\n");
    fixture_write(root, "meminfo", "MemTotal:       65842180 kB\nMemFree: 1 kB\n");
    struct owm_machine m = look(root, root, "libowm-no-such-nvml.so", 0);
    assert_int_equal(m.gpus, 2);
    assert_int_equal(m.vram_bytes, 25753026560);
    assert_string_equal(m.device, "Radeon RX 7900 XTX");
    assert_string_equal(m.backend, "hip");
    assert_int_equal(m.ram_bytes, 65842180ull * 1024);
    assert_true(m.bandwidth_mbps == 1000);
    assert_non_null(strstr(m.bandwidth_source, "eth0"));
    struct owm_tier_result tier;
    owm_tier_decide(&m, "", &tier);
    assert_int_equal(tier.tier, OWM_TIER_2);
    assert_false(tier.overridden);
    fixture_remove(root);
}

/* SRS-NODE-03: NVML is opened at run time and the largest card is taken. */
static void test_nvml(void **state)
{
    (void)state;
    struct owm_machine m = look("/nonexistent", "/nonexistent", FAKE_NVML, 250);
    assert_int_equal(m.gpus, 2);
    assert_int_equal(m.vram_bytes, 25757220864ull);
    assert_string_equal(m.device, "Fake RTX 4090");
    assert_string_equal(m.backend, "cuda");
    assert_int_equal(m.ram_bytes, 0);
    assert_non_null(strstr(m.bandwidth_source, "owm.toml"));
}

/* SRS-NODE-03: no GPU; each short number is named with what is needed. */
static void test_below_t1(void **state)
{
    (void)state;
    char root[128];
    fixture_folder(root);
    fixture_write(root, "meminfo", "MemTotal:       8000000 kB\n");
    fixture_write(root, "cpuinfo", "processor : 0\nmodel name\t: Test CPU\n");
    struct owm_machine m = look(root, root, "libowm-no-such-nvml.so", 0);
    struct owm_tier_result tier;
    assert_string_equal(m.device, "cpu (Test CPU)");
    owm_tier_decide(&m, "", &tier);
    assert_int_equal(tier.tier, OWM_TIER_NONE);
    assert_non_null(strstr(tier.why, "VRAM 0 of 8 GB"));
    assert_non_null(strstr(tier.why, "RAM 8.192 of 16 GB"));
    assert_non_null(strstr(tier.why, "bandwidth 0 of 50 Mbit/s"));
    fixture_remove(root);
}

/* SRS-NODE-03: the override is honoured and marked. */
static void test_override(void **state)
{
    (void)state;
    struct owm_machine m = {
        .vram_bytes = 8589934592, .ram_bytes = 16700000000, .bandwidth_mbps = 60};
    struct owm_tier_result tier;
    owm_tier_decide(&m, "", &tier);
    assert_int_equal(tier.tier, OWM_TIER_1);
    owm_tier_decide(&m, "t3", &tier);
    assert_int_equal(tier.tier, OWM_TIER_3);
    assert_int_equal(tier.measured, OWM_TIER_1);
    assert_true(tier.overridden);
}

/* SRS 4.1.3: the table, each minimum by itself. */
static void test_table(void **state)
{
    (void)state;
    for (int t = OWM_TIER_1; t <= OWM_TIER_3; t++) {
        const struct owm_tier_row *row = owm_tier_row_of((enum owm_tier)t);
        const struct owm_machine full = {.vram_bytes = (uint64_t)(row->vram_gb * 1e9),
                                         .ram_bytes = (uint64_t)(row->ram_gb * 1e9),
                                         .bandwidth_mbps = row->bandwidth_mbps};
        struct owm_tier_result tier;
        owm_tier_decide(&full, "", &tier);
        assert_int_equal(tier.tier, t);
        struct owm_machine less = full;
        less.vram_bytes = less.vram_bytes / 10 * 9;
        owm_tier_decide(&less, "", &tier);
        assert_int_equal(tier.tier, t - 1);
        less = full;
        less.ram_bytes = less.ram_bytes / 10 * 9;
        owm_tier_decide(&less, "", &tier);
        assert_int_equal(tier.tier, t - 1);
        less = full;
        less.bandwidth_mbps -= 1;
        owm_tier_decide(&less, "", &tier);
        assert_int_equal(tier.tier, t - 1);
    }
    assert_int_equal(owm_tier_row_of(OWM_TIER_2)->stake_sats, 500000);
}

/* SRS-NET-04: a proxy is refused; other combinations that cannot work are named. */
static void test_config(void **state)
{
    (void)state;
    struct owm_node_config config;
    struct owm_error error = {""};
    static const char text[] = "[network]\nsocks5_proxy = \"127.0.0.1:9050\"\n";
    assert_ok(owm_conf_parse(&owm_node_table, "t", text, sizeof text - 1, &config, &error));
    assert_int_equal(owm_node_config_check(&config, "/usr/bin/owm-node", &error), OWM_E_CONFIG);
    assert_non_null(strstr(error.text, "SRS-NET-04"));
    config.socks5_proxy[0] = '\0';
    assert_ok(owm_node_config_check(&config, "/usr/bin/owm-node", &error));
    assert_string_equal(config.worker_path, "/usr/bin/owm-worker");
    assert_non_null(strstr(config.identity_key, "/.owm/identity.key"));
    owm_conf_deinit(&owm_node_table, &config);
    static const char tier[] = "[node]\ntier_override = \"t4\"\n";
    assert_ok(owm_conf_parse(&owm_node_table, "t", tier, sizeof tier - 1, &config, &error));
    assert_int_equal(owm_node_config_check(&config, NULL, &error), OWM_E_CONFIG);
    owm_conf_deinit(&owm_node_table, &config);
}

static void test_target(void **state)
{
    (void)state;
    char target[OWM_NODE_TARGET_MAX];
    struct owm_error error;
    assert_ok(owm_node_target("https://coordinator.owm.network", target, &error));
    assert_string_equal(target, "coordinator.owm.network:9000");
    assert_ok(owm_node_target("https://[::1]:9001/", target, &error));
    assert_string_equal(target, "[::1]:9001");
    assert_ok(owm_node_target("https://[::1]", target, &error));
    assert_string_equal(target, "[::1]:9000");
    assert_int_equal(owm_node_target("http://plain", target, &error), OWM_E_CONFIG);
    assert_int_equal(owm_node_target("", target, &error), OWM_E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_amd),      cmocka_unit_test(test_nvml),
        cmocka_unit_test(test_below_t1), cmocka_unit_test(test_override),
        cmocka_unit_test(test_table),    cmocka_unit_test(test_config),
        cmocka_unit_test(test_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
