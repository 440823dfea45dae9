"""All kinds of data that plain Rucio can bring in, used through DIRAC with no conversion; then adopted, audited, removed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dirac_client import PRELUDE, python

pytestmark = pytest.mark.stack

#: With Rucio's own client and gfal2 only: BDMS's way, and worse.
INGEST = """
import hashlib, json, os, sys, tempfile, zlib
import gfal2
from rucio.client import Client
own, other, port, hashed, odd = sys.argv[1:]
client, gfal = Client(), gfal2.creat_context()
top = f"/ctao/{own}"
for scope in (own, other):
    client.add_scope("root", scope)

def rse(name, deterministic, prefix):
    client.add_rse(name, deterministic=deterministic)
    if deterministic:
        client.add_rse_attribute(name, "lfn2pfn_algorithm", "hash")
    client.add_rse_attribute(name, "greedyDeletion", "true")
    client.set_local_account_limit("ctaoprod", name, 10**12)
    wan = {word: 1 for word in ("read", "write", "delete")}
    client.add_protocol(name, {"scheme": "root", "hostname": "localhost", "port": int(port), "prefix": prefix,
        "impl": "rucio.rse.protocols.gfal.Default", "domains": {"lan": wan, "wan": wan}, "extended_attributes": None})

def put(rse, scope, name, pfn=None, md5=False):
    text = name.encode()
    did = {"scope": scope, "name": name, "bytes": len(text)}
    if md5:
        did["md5"] = hashlib.md5(text).hexdigest()
    else:
        did["adler32"] = "%08x" % zlib.adler32(text)
    url = pfn or client.lfns2pfns(rse, [f"{scope}:{name}"], operation="write", scheme="root")[f"{scope}:{name}"]
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        parameters = gfal.transfer_parameters()
        parameters.create_parent = parameters.overwrite = True
        gfal.filecopy(parameters, "file://" + file.name, url)
    client.add_replicas(rse, [did | ({"pfn": pfn} if pfn else {})])
    return {"scope": scope, "name": name}

def dataset(scope, name, files):
    client.add_dids([{"scope": scope, "name": name, "type": "DATASET"}])
    client.attach_dids(scope, name, files)

rse(hashed, True, "//hash/")
rse(odd, False, "/")
night = f"{top}/DL0/night"
raw = [put("LAPALMA-DISK", own, f"{night}/f{i}") for i in (1, 2)]
client.add_container(own, f"{top}/DL0")
dataset(own, night, raw)
client.attach_dids(own, f"{top}/DL0", [{"scope": own, "name": night}])
bare = put("PIC-DISK", own, f"{top}/bare/deep/f3")                         # nothing above it
md5 = put("PIC-DISK", own, f"{top}/bare/f4", md5=True)
foreign = put("PIC-DISK", other, f"{top}/bare/f5")                         # another scope
theirs = [put("PIC-DISK", other, f"{top}/theirs/f6")]
dataset(other, f"{top}/theirs", theirs)                                    # a directory of another scope
at_hash = put(hashed, own, f"{top}/places/f7")
at_odd = put(odd, own, f"{top}/places/f8", pfn=f"root://localhost:{port}//odd/where/ever")
dataset(own, f"{top}/best", [raw[0], foreign])                             # a dataset that follows no paths
doomed = [put("PIC-DISK", other, f"{top}/doomed/f10"), put("PIC-DISK", own, f"{top}/doomed/f11", md5=True)]
dataset(other, "raw-data", [raw[0], foreign, *doomed])                     # a name that is none
held = put("PIC-DISK", own, f"{top}/held/f9")
dataset(own, f"{top}/held", [held])
client.add_replication_rule([{"scope": own, "name": f"{top}/held"}], 1, "PIC-DISK")  # a rule on the dataset only
client.set_metadata_bulk(other, foreign["name"], {"obs_id": 5, "zoo": own})
client.set_metadata_bulk(own, raw[1]["name"], {"obs_id": 2, "zoo": own})
names = dict(raw1=raw[0], raw2=raw[1], bare=bare, md5=md5, foreign=foreign, theirs=theirs[0], hash=at_hash, odd=at_odd, held=held, doomed1=doomed[0], doomed2=doomed[1])
print(json.dumps({key: did["name"] for key, did in names.items()}))
"""

#: Ends what the tests made, so that the storage endpoints can go.
REMOVE_RSES = """
import sys, time
from rucio.client import Client
from rucio.common.exception import RSEOperationNotSupported
client, deadline = Client(), time.monotonic() + 90
for name in sys.argv[1:]:
    while True:
        try:
            client.delete_rse(name)
            break
        except RSEOperationNotSupported:
            assert time.monotonic() < deadline, f"{name} still has copies"
            time.sleep(1)  # between two questions; an empty RSE is the condition
"""


DOOMED = ("doomed1", "doomed2")


class Zoo:
    """Scopes, RSEs and files of one run."""

    def __init__(self, run_name: str) -> None:
        word = run_name[1:].lower().replace("-", "")[-14:]
        self.own, self.other = f"zo{word}", f"zx{word}"
        self.hashed, self.odd = f"ZOO-HASH-{word.upper()}", f"ZOO-ODD-{word.upper()}"
        self.top = f"/ctao/{self.own}"
        self.files: dict[str, str] = {}


@pytest.fixture(scope="module")
def zoo(testbed: Any, run_name: str):
    found = Zoo(run_name)
    port = testbed.layout.port("PIC-DISK")
    words = (found.own, found.other, port, found.hashed, found.odd)
    done = testbed.run("robot", testbed.layout.bin / "python", "-c", INGEST, *words)
    found.files = json.loads(done.stdout.strip().splitlines()[-1])
    yield found
    expire = """
from CTARucioDIRAC.usecases import remove, tree
gateway, paths = current_gateway(), [name for name in sys.argv[1:]]
remove.remove_files(gateway, paths)
report(True)
"""
    python(testbed, "production", expire, found.files["hash"], found.files["odd"])
    testbed.run("robot", testbed.layout.bin / "python", "-c", REMOVE_RSES, found.hashed, found.odd)


READ = """
from DIRAC import gConfig
from DIRAC.ConfigurationSystem.private.ConfigurationClient import gConfigurationData
gConfigurationData.setOptionInCFG("/Resources/FileCatalogs/RucioFileCatalog/ForeignScopes", sys.argv[1])
catalog, top, other, names = FileCatalog(), sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
lfns, odd = sorted(names.values()), f"{other}:raw-data"

def ask(method, argument, **more):
    value = good(getattr(catalog, method)(argument, **more))
    assert not value["Failed"], (method, value["Failed"])
    return value["Successful"]

directories = [f"{top}/{name}" for name in ("DL0/night", "bare", "bare/deep", "theirs", "places", "best", "held")] + [odd]
report({
    "exists": ask("exists", lfns),
    "isFile": ask("isFile", lfns),
    "sizes": ask("getFileSize", lfns),
    "metadata": ask("getFileMetadata", lfns),
    "replicas": ask("getReplicas", lfns),
    "status": ask("getReplicaStatus", {names["foreign"]: "PIC-DISK"}),
    "directories": ask("isDirectory", directories),
    "listing": {path: sorted(entry["Files"]) for path, entry in ask("listDirectory", directories, verbose=True).items()},
    "links": sorted(ask("listDirectory", f"{top}/best", verbose=True)[f"{top}/best"]["Links"]),
    "tops": sorted(ask("listDirectory", top)[top]["SubDirs"]),
    "dump": sorted(ask("getDirectoryDump", top)[top]["Files"]),
    "size": ask("getDirectorySize", top, longOut=True)[top],
    "in bare": ask("getDirectoryReplicas", f"{top}/bare")[f"{top}/bare"],
    "owner": ask("getDirectoryMetadata", f"{top}/bare/deep")[f"{top}/bare/deep"]["OwnerGroup"],
    "found": sorted(good(catalog.findFilesByMetadata({"zoo": {"=": top.split("/")[-1]}, "obs_id": {">": 0}}, top))),
    "user metadata": good(catalog.getFileUserMetadata(names["foreign"])),
    "of odd": good(catalog.getReplicasByMetadata({"obs_id": 5}, top))["Successful"],
})
"""


def test_every_read_works_with_no_conversion(testbed: Any, zoo: Zoo) -> None:
    found = python(testbed, "user", READ, zoo.other, zoo.top, zoo.other, json.dumps(zoo.files))
    names, lfns = zoo.files, sorted(zoo.files.values())
    assert found["exists"] == found["isFile"] == {lfn: lfn for lfn in lfns}
    assert found["sizes"] == {lfn: len(lfn) for lfn in lfns}
    assert found["metadata"][names["md5"]]["Checksum"] == ""
    assert len(found["metadata"][names["md5"]]["MD5"]) == 32
    assert {lfn: list(copies) for lfn, copies in found["replicas"].items()} == {
        lfn: [{"raw1": "LAPALMA-DISK", "raw2": "LAPALMA-DISK", "hash": zoo.hashed, "odd": zoo.odd}.get(key, "PIC-DISK")]
        for key, lfn in names.items()
    }
    (at_hash,), (at_odd,) = (found["replicas"][names[key]].values() for key in ("hash", "odd"))
    assert "/hash/" in at_hash
    assert f"//hash{names['hash']}" not in at_hash
    assert at_odd.endswith("//odd/where/ever")
    assert found["status"] == {names["foreign"]: "AprioriGood"}
    assert set(found["directories"].values()) == {True}
    assert found["listing"][f"{zoo.top}/bare"] == [names["md5"], names["foreign"]]
    assert found["listing"][f"{zoo.top}/theirs"] == [names["theirs"]]
    assert set(found["listing"][f"{zoo.other}:raw-data"]) == {names[key] for key in ("foreign", "raw1", *DOOMED)}
    assert found["links"] == sorted([f"{zoo.other}:{names['foreign']}", names["raw1"]])
    assert found["tops"] == [
        f"{zoo.top}/{name}" for name in ("DL0", "bare", "best", "doomed", "held", "places", "theirs")
    ]
    assert found["dump"] == lfns
    assert (found["size"]["LogicalFiles"], found["size"]["PhysicalSize"]["TotalFiles"]) == (11, 11)
    assert set(found["in bare"]) == {names["md5"], names["foreign"]}
    assert found["found"] == [names["raw2"], names["foreign"]]
    assert found["user metadata"] == {"obs_id": 5, "zoo": zoo.own}
    assert list(found["of odd"]) == [names["foreign"]]


def test_names_of_another_scope_are_found_and_read_without_any_configuration(testbed: Any, zoo: Zoo, tmp_path) -> None:
    assert "PIC-DISK" in testbed.run("user", "dirac-dms-lfn-replicas", zoo.files["foreign"]).stdout
    assert "f6" in testbed.run("user", "dls", f"{zoo.top}/theirs").stdout
    testbed.run("user", "dget", zoo.files["foreign"], cwd=tmp_path)
    assert (tmp_path / "f5").read_text() == zoo.files["foreign"]
    assert "f1" in testbed.run("user", "dls", f"/{zoo.other}:raw-data").stdout


FETCH = """
from DIRAC.Resources.Storage.StorageElement import StorageElement
from CTARucioDIRAC.DataManagementSystem.Client.RucioDataManager import RucioDataManager
rses, lfns = sys.argv[1:3], sys.argv[3:]
# the RSEs of this run are directories of that server's
manager = RucioDataManager("ctao", storage=lambda name: StorageElement("PIC-DISK" if name in rses else name, vo="ctao"))
report(good(manager.getFile(lfns)))
"""


def test_copies_are_read_from_where_rucio_says(testbed: Any, zoo: Zoo, tmp_path) -> None:
    lfns = [zoo.files[key] for key in ("foreign", "md5", "hash", "odd")]
    done = testbed.run(
        "user", testbed.layout.bin / "python", "-c", PRELUDE + FETCH, zoo.hashed, zoo.odd, *lfns, cwd=tmp_path
    )
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    assert answer["Failed"] == {}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {lfn.rsplit("/", 1)[1]: lfn for lfn in lfns}


def test_removal_works_with_no_conversion(testbed: Any, zoo: Zoo) -> None:
    code = """
catalog, lfns = FileCatalog(), sys.argv[1:]
gone = good(catalog.removeFile(lfns))
report([sorted(gone["Successful"]), gone["Failed"], good(catalog.exists(lfns))["Successful"]])
"""
    lfns = [zoo.files.pop(key) for key in DOOMED]
    assert python(testbed, "production", code, *lfns) == [sorted(lfns), {}, dict.fromkeys(lfns, False)]


def check(testbed: Any, *words: str) -> tuple[int, dict[str, Any]]:
    done = testbed.run("production", testbed.layout.bin / "cta-rucio-check", "--json", *words, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def adopt(testbed: Any, *words: str) -> dict[str, Any]:
    return json.loads(testbed.run("production", testbed.layout.bin / "cta-rucio-adopt", "--json", *words).stdout)


def test_the_audit_finds_it_and_adoption_cures_it(testbed: Any, zoo: Zoo) -> None:
    wrong = testbed.run("production", testbed.layout.bin / "cta-rucio-check", "--scope", "no-such-scope", check=False)
    assert wrong.returncode == 2
    data = ("--only", "parents", "--only", "custody", "--scope", zoo.own, "--scope", zoo.other)
    code, before = check(testbed, *data)
    assert code == 1
    assert {item["check"] for item in before["findings"]} == {"parents", "custody"}
    planned = adopt(testbed, zoo.top, "--dry-run")
    done = adopt(testbed, zoo.top)
    assert {**planned, "dry_run": False} == done
    assert (done["files"], done["problem_count"]) == (9, 0)
    assert done["copies_held"] == 8  # a dataset's rule held the other
    code, after = check(testbed, *data, "--only", "storage", "--storage")
    assert (code, after["findings"], after["looked_at"]["copies at storages"]) == (0, [], 9)
    again = adopt(testbed, zoo.top)
    assert {again[key] for key in ("files_attached", "rules_on_files", "rules_on_datasets", "containers_created")} == {
        0
    }


REMOVE = """
catalog, names, held = FileCatalog(), json.loads(sys.argv[1]), sys.argv[2]
removed = good(catalog.removeFile([names[key] for key in ("bare", "hash", "odd", "raw2")]))
report({
    "removed": sorted(removed["Successful"]),
    "why not": removed["Failed"],
    "held": good(catalog.removeFile(names["held"]))["Failed"],
    "one": good(catalog.removeReplica({names["held"]: {"SE": "PIC-DISK"}}))["Failed"],
    "left": good(catalog.exists(list(names.values())))["Successful"],
})
"""


def test_removal_works_where_no_dataset_rule_stands_against_it(testbed: Any, zoo: Zoo) -> None:
    found = python(testbed, "production", REMOVE, json.dumps(zoo.files), f"{zoo.top}/held")
    names = zoo.files
    assert set(found["removed"]) == {names[key] for key in ("bare", "hash", "odd")}
    assert "is held by rule" in str(found["why not"][names["raw2"]])  # the night's own, since its adoption
    assert "of account root on" in str(found["held"][names["held"]])
    assert "of account root on" in str(found["one"][names["held"]])
    assert {lfn for lfn, there in found["left"].items() if there} == {
        names[key] for key in ("raw1", "raw2", "md5", "foreign", "theirs", "held")
    }
