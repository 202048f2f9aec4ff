"""Fills the metadata of a fresh Airflow, in Airflow's own interpreter: tables, a pool, Connections, and the DAGs.

One process does what `airflow db migrate`, `pools set`, `connections add` and `dags reserialize` do in four. Its
argument is JSON: the pool's name and slots, and the Connections.
"""

from __future__ import annotations

import json
import sys

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.models import Connection, Pool
from airflow.utils.db import initdb
from airflow.utils.session import create_session

given = json.loads(sys.argv[1])
initdb()
Pool.create_or_update_pool(given["pool"], given["slots"], "", include_deferred=False)
with create_session() as session:
    session.add_all(Connection(**each) for each in given["connections"])
    bundles = DagBundlesManager()
    bundles.sync_bundles_to_db(session=session)
    session.commit()
    for bundle in bundles.get_all_dag_bundles():
        bundle.initialize()
        bag = BundleDagBag(bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        assert not bag.import_errors, bag.import_errors
        sync_bag_to_db(bag, bundle.name, bundle_version=None, session=session)
