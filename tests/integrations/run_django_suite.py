"""Runs Django's own cache tests against the backend.

    python tests/integrations/run_django_suite.py DJANGO_SOURCE

DJANGO_SOURCE is an unpacked source distribution of the Django that is installed. Two of its tests
count what is left after Django's own way of culling, which is not ours.
"""

import sys
import tempfile
from pathlib import Path


def main():
    sys.path.insert(0, str(Path(sys.argv[1]) / "tests"))
    import django
    from django.conf import settings

    memory = {"BACKEND": "raudo.integrations.django.SmartCacheBackend"}
    settings.configure(
        SECRET_KEY="only for tests, and long enough",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "cache"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        ROOT_URLCONF=None,
        USE_TZ=False,
        CACHES={"default": memory},
    )
    django.setup()
    import unittest

    from cache.tests import BaseCacheTests, caches_setting_for_tests
    from django.test import TestCase, override_settings
    from django.test.utils import get_runner

    class SmartCacheTests(BaseCacheTests, TestCase):
        test_cull = test_zero_cull = None

    folder = tempfile.mkdtemp()
    in_memory = override_settings(
        CACHES=caches_setting_for_tests(BACKEND=memory["BACKEND"], LOCATION="memory")
    )(type("InMemory", (SmartCacheTests,), {}))
    on_disk = override_settings(
        CACHES=caches_setting_for_tests(
            BACKEND=memory["BACKEND"], LOCATION=folder, OPTIONS={"levels": (0, 1, 9)}
        )
    )(type("OnDisk", (SmartCacheTests,), {}))
    suite = unittest.TestSuite(
        unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in (in_memory, on_disk)
    )
    runner = get_runner(settings)(verbosity=1)
    runner.setup_test_environment()
    old = runner.setup_databases()
    result = runner.run_suite(suite)
    runner.teardown_databases(old)
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    main()
