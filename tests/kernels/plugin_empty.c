/* plugin_empty.c: a shared library that is no plug-in (test_backend). */
int owm_test_nothing;
