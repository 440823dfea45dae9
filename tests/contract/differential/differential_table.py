"""Where the Rucio catalogue answers otherwise than DIRAC's own, on purpose: each place with its reason.

A place is the name of a step of the scenarios, and where in its answer; both are regular expressions. The reasons are
those of docs/reference/catalogue.md.
"""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """A deliberate difference."""

    step: str
    where: str
    reason: str


NUMBERS = (
    "Rucio has no numbers for files, directories, datasets, users and groups: UID and GID are 0, the others 0 or absent"
)
OWNERS = "the owner comes with DN and role, which requests are executed with"
MODE = "Rucio has no modes: files are 0664 and directories 0775, and can't be changed"
MD5 = "a file that has an MD5 sum shows it"
PFN = "addresses are Rucio's, not the name of the file once more"
PLAIN = "a plain listing only tells sizes: the rest is a request for each 1,000 files, and in the verbose one"
CONTENT = "the message names both sizes and checksums"
NAMES = "the message also names what is missing, and where"
TEXT = "what isn't there is always called No such file or directory"
ANSWERED = "every name asked for is answered for"
DONE = "success is True, not the number of rows"
IDEMPOTENT = "a second call with the same arguments succeeds: the state asked for holds"
SAME_CONTENT = "addFile of a known file with the same content adds the copy"
UNKNOWN_SE = "a storage element that Rucio doesn't have is refused"
PFN_OPTIONAL = "PFN and GUID may be left out; Size and Checksum may not be wrong"
UNKNOWN_KEY = "a key that nothing has finds nothing; the DFC drops it, and finds everything"
UNKNOWN_OPERATOR = "what can't be asked is an error; the DFC drops it, and finds everything"
OUTSIDE = "what is found lies below the path that was asked for; the DFC finds other files as well"
IN_ORDER = "directories are numbered in their order"
DETAILS = "details have all that getFileMetadata has"
TYPES = "only the types of the keys that a directory has are told"
HOST = "a copy is where Rucio has it: it can't be called another's"
OWNER_STAYS = "owners and groups follow from Rucio's accounts, and can't be changed"
SETS = "a set that isn't there is an empty one; the DFC's call fails"
LISTED = "a listed dataset has its query and status as its parameters have them, not as text and number"
REMOVED = "removing what isn't there fails for that name alone"
EXTRA = "a removed directory is reported as True, and nothing else is"

DIFFERENCES = [
    Difference(".*", r".*/(UID|GID|FileID|DirID|DatasetID|Type)\b", NUMBERS),
    Difference(".*", r".*/(OwnerDN|OwnerRole) only here", OWNERS),
    Difference(".*", r".*/Mode\b", MODE),
    Difference(".*", r".*/MD5 only here", MD5),
    Difference(".*", r".*-DISK(/PFN)?: '.*' in the DFC, 'root://", PFN),
    Difference("listDirectory verbose", r".*/RepType only here: 'Replica'", DETAILS),
    Difference("listDirectory( after removal)?", r".*/MetaData/\w+ only in the DFC", PLAIN),
    Difference("addFile other content", r"/value/Failed/.* in the DFC, .*size \d+, adler32", CONTENT),
    Difference("addFile other SE", r"/value/(Failed|Successful)/TOP-odd/f5 only", SAME_CONTENT),
    Difference("addFile unknown SE", r"/value/(Failed|Successful)/TOP-odd/f4 only", UNKNOWN_SE),
    Difference("addFile incomplete", r"/value/Failed/TOP/b/f4: \"Missing 'PFN' parameter\"", PFN_OPTIONAL),
    Difference("setReplicaStatus", r"/value/Successful/TOP/a/f1: 1 in the DFC, True here", DONE),
    Difference(
        "setReplica(Status no copy|Problematic)", r".*: 'Replica does not exist' in the DFC, 'Replica does", NAMES
    ),
    Difference("setReplicaHost", r"/value/(Failed|Successful)/TOP-odd/f5 only", HOST),
    Difference("listDirectory", r"/value/Failed/TOP/a/no: 'Directory does not exist", TEXT),
    Difference(
        "getDirectoryMetadata", r"/value/Failed/TOP/a/no: .* in the DFC, 'No such file or directory' here", TEXT
    ),
    Difference("addFileAncestors again", r"/value/(Failed|Successful)/TOP/b/f3 only", IDEMPOTENT),
    Difference("addFileAncestors missing", r"/value/Failed/.*: 'Failed to resolve ancestor files' in the DFC", NAMES),
    Difference("getFileAncestors of what is missing", r"/value/Failed/TOP/a/no only here", ANSWERED),
    Difference("getDirectoryUserMetadata", r"/MetadataType/\w+ only in the DFC", TYPES),
    Difference(r"find \{'difflevel': 'Missing'\}", r"/value: \[.*TOP-odd/f4.*\] in the DFC, \[\] here", OUTSIDE),
    Difference("find unknown key", r"/value: \['TOP.*\] in the DFC, \[\] here", UNKNOWN_KEY),
    Difference("find unknown operator", r"/(failed only here|value only in the DFC)", UNKNOWN_OPERATOR),
    Difference("findDirectoriesByMetadata", r"/value/\d+ only", IN_ORDER),
    Difference("findFilesByMetadata(Detailed|Web)", r".*/f1/\w+ only here", DETAILS),
    Difference("getMetadataSet none", r"/(failed only in the DFC|value only here: \{\})", SETS),
    Difference("listDirectory with a dataset", r".*/Metadata/(MetaQuery|Status): ", LISTED),
    Difference("removeDirectory not empty", r".*'Failed to remove non-empty directory' in the DFC", NAMES),
    Difference(
        "removeFile missing", r"/(failed only in the DFC|value only here: .*'No such file or directory')", REMOVED
    ),
    Difference("removeDirectory", r"/value/Successful/(TOP/empty: |\w+ only in the DFC)", EXTRA),
    Difference("changePath(Owner|Group)", r"/value/(Failed|Successful)/TOP/a/f1 only", OWNER_STAYS),
    Difference("changePathMode", r"/value/(Failed|Successful)/TOP/a/f1 only", MODE),
]
