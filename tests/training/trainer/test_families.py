"""The families of models: read from the checkpoint, refused where recipe and file disagree, each trained by its own
program, with the stand-in and, where it is, with the real sd-scripts on tiny random models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.cli import main
from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.training import lora
from lib_prodshot.training.publishing import publish
from lib_prodshot.training.recipe import families, files
from lib_prodshot.training.recipe.families import FAMILIES
from lib_prodshot.training.recipe.presets import FAMILY_PRESETS, preset
from lib_prodshot.training.recipe.recipe import SETTINGS, Recipe, setting_named
from lib_prodshot.training.recipe.remarks import remarks
from lib_prodshot.training.trainer import ledger, sd_scripts
from lib_prodshot.training.trainer.config_files import dataset_config, flat, training_config
from lib_prodshot.training.trainer.diagnosis import explain_failure, explain_out_of_memory
from lib_prodshot.training.trainer.ledger import Ledger
from lib_prodshot.training.trainer.losses import read_losses
from lib_prodshot.training.trainer.process import command
from lib_prodshot.training.trainer.results import output_problem, samples
from lib_prodshot.training.trainer.sd_scripts import TrainerInfo
from tests.training.photographs import TAG, make_folder
from tests.training.rigs import Rig, make_checkpoint, make_checkpoint_file, stand_in_rig, unet
from tests.training.trainers import STAND_IN, tiny_model, tiny_trainer

FLUX = {"double_blocks.0.img_attn.qkv.weight": (96, 32), "img_in.weight": (32, 64)}
CHECKPOINTS: dict[str, dict[str, tuple[int, ...]]] = {"sd15": unet(768), "sdxl": unet(2048), "flux": FLUX}
FLUX_FILES: dict[str, dict[str, tuple[int, ...]]] = {
    "clip_l": {"text_model.encoder.layers.0.self_attn.q_proj.weight": (2, 2)},
    "t5xxl": {"encoder.block.0.layer.0.SelfAttention.q.weight": (2, 2)},
    "ae": {"encoder.down.0.block.0.norm1.weight": (2, 1), "decoder.conv_in.weight": (2, 16)},
}
OPTIONS = json.loads((STAND_IN.checkout.parent / "recorded" / "options.json").read_text(encoding="utf-8"))
"""The real programs' own: those of `train_network.py`, and what the others have besides."""

SMALL = {"resolution": 64, "min_bucket_reso": 64, "max_bucket_reso": 128, "max_data_loader_n_workers": 0}


def model_files(folder: Path, family: str) -> dict[str, str]:
    """The files of a family's model, without weights, as settings of a recipe."""
    folder.mkdir(exist_ok=True)
    found = {"pretrained_model_name_or_path": make_checkpoint_file(folder / "model.safetensors", **CHECKPOINTS[family])}
    for name in FAMILIES[family].files:
        found[name] = make_checkpoint_file(folder / f"{name}.safetensors", **FLUX_FILES[name])
    return {name: str(path) for name, path in found.items()}


def family_rig(family: str, models: dict[str, str], rig: Rig) -> Callable[..., Rig]:
    """A rig that trains this model by its family's own preset for the CPU; the recipe does not name the family."""

    class FamilyRig(Rig):
        def recipe(self, **changes: Any) -> Recipe:
            values = {**super().recipe().to_dict(), **preset("cpu", family), **models, **SMALL}
            return Recipe.of({**values, **changes})

    return FamilyRig(rig.trainer, rig.photographs, rig.model, rig.tokenizers, rig.runs, rig.is_real)


@pytest.fixture(scope="module", params=["stand-in", "sd-scripts"])
def make_family_rig(
    request: pytest.FixtureRequest, small_photographs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Path], Rig]:
    def stand_in(family: str, folder: Path) -> Rig:
        return family_rig(
            family, model_files(folder / "model", family), stand_in_rig(small_photographs, folder / "runs")
        )

    def real(family: str, folder: Path) -> Rig:
        place = tiny_model(made / family, family)
        names = {"pretrained_model_name_or_path": family, **{name: name for name in FAMILIES[family].files}}
        models = {name: str(place / f"{file}.safetensors") for name, file in names.items()}
        if family == "sd15":
            models = {"pretrained_model_name_or_path": str(place / "model")}
        rig = Rig(trainer, small_photographs, place, place / "tokenizers", folder / "runs", is_real=True)
        return family_rig(family, models, rig)

    if request.param == "stand-in":
        return stand_in
    trainer, made = tiny_trainer(), tmp_path_factory.mktemp("families")
    return real


@pytest.mark.parametrize("family", ["sdxl", "flux"])
def test_a_family_is_trained_by_its_own_program_and_gone_on_with(
    make_family_rig: Callable[[str, Path], Rig], tmp_path: Path, family: str
) -> None:
    """Twice: the second time it also makes a picture, of captions that Flux has encoded once."""
    rig = make_family_rig(family, tmp_path)
    told: dict[str, Any] = {"num_repeats": 1}
    for epochs in (1, 2, 3):
        told |= {"sample_prompts": ["bag --w 64 --h 64 --s 1 --d 1"]} if epochs == 3 else {}
        result = rig.train(max_train_epochs=epochs, **told)
        assert (result.outcome, result.steps_done) == ("finished", epochs * rig.steps // 2), result.reason
    recipe = rig.recipe()
    assert len(result.loras) == 3 and len(samples(rig.runs / "bag" / "output")) == 1
    for epoch, path in enumerate(result.loras, 1):
        found = lora.inspect(path)
        assert found.keys == 3 * found.modules > 0 and found.finite and found.learned, found
        assert (found.ranks, found.alphas, found.epoch) == ({recipe.network_dim}, {recipe.network_alpha}, epoch)
        assert found.metadata["ss_base_model_version"].startswith(FAMILIES[family].base)
    book = ledger.read(rig.runs / "bag")
    assert book is not None and book.recipe["family"] == family
    assert [start.after_epoch for start in book.starts] == [0, 1, 2]
    (one, two, _) = publish.publish(rig.runs / "bag", tmp_path / "loras")
    side_car = json.loads(two.file.with_suffix(".json").read_text(encoding="utf-8"))
    assert side_car["sd version"] == {"sdxl": "SDXL", "flux": "Flux"}[family]
    assert one.fits == FAMILIES[family].fits and one.fits in side_car["notes"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_black_mask_reaches_the_loss_and_nothing_is_learned(
    make_family_rig: Callable[[str, Path], Rig], tmp_path: Path, family: str
) -> None:
    """The same run with white masks learns: it is the mask that the loss was nothing by."""
    rig = make_family_rig(family, tmp_path)
    if not rig.is_real:
        pytest.skip("the stand-in computes no loss")
    masks = tmp_path / "masks"
    masks.mkdir()
    told = {"masked_loss": True, "conditioning_data_dir": str(masks), "max_train_epochs": 1, "num_repeats": 1}
    results = {}
    for value in (0, 255):
        for number in range(1, 7):
            Image.new("L", (128, 128), value).save(masks / f"{number}.png")
        results[value] = rig.train(fresh=True, **told)
        losses = {loss for _, _, loss in read_losses(rig.runs / "bag")}
        found = lora.inspect(results[value].loras[0])
        assert found.finite and (found.learned == 0) == (value == 0) and (losses == {0.0}) == (value == 0)
    assert results[0].outcome == "failed" and "has learned nothing" in results[0].reason
    assert results[255].outcome == "finished", results[255].reason


# --- what needs no real program -------------------------------------------------------------------------------------


def problems_of(rig: Rig, **changes: Any) -> list[FieldProblem]:
    with pytest.raises(RequestError) as caught:
        rig.job(**changes).prepare()
    assert not rig.runs.exists()
    return list(caught.value.problems)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_family_is_the_checkpoint_s(plain: Rig, tmp_path: Path, family: str) -> None:
    files_of = model_files(tmp_path / "model", family)
    job = plain.job(**files_of)
    assert (job.recipe.family, plain.recipe(**files_of).family) == (family, "auto")
    line = command(STAND_IN, job.recipe, (Path("a"), Path("b")), [])
    assert line[1] == str(STAND_IN.checkout / FAMILIES[family].script)


@pytest.mark.parametrize("family", FAMILIES)
def test_another_family_than_the_file_s_is_refused(plain: Rig, tmp_path: Path, family: str) -> None:
    other = "sdxl" if family != "sdxl" else "sd15"
    path = model_files(tmp_path / "model", family)["pretrained_model_name_or_path"]
    (problem,) = problems_of(plain, pretrained_model_name_or_path=path, family=other)
    assert problem.field == "pretrained_model_name_or_path" and f"set family to {family}" in problem.message


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"joint_blocks.0.x_block.attn.qkv.weight": (2, 2)}, "is Stable Diffusion 3, which is not trained here"),
        ({**FLUX, "distilled_guidance_layer.in_proj.weight": (2, 2)}, "is Chroma, which is not trained here"),
        ({**FLUX, "img_in.weight": (32, 384)}, "takes 384 channels and FLUX.1 takes 64"),
        (unet(1280), "is the SDXL refiner, which is not trained here"),
        ({"transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight": (4, 64)}, "is a LoRA"),
        ({"double_blocks.0.img_attn.proj.lora_B.weight": (64, 4)}, "is a LoRA"),
        ({"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 64)}, "is a LoRA"),
        ({"unet.down_blocks.0.attentions.0.attn2.to_k.lora_A.weight": (4, 768)}, "is a LoRA"),
        ({"model.diffusion_model.double_blocks.0.img_attn.lokr_w1": (4, 4)}, "is a LoRA"),
        ({"model.diffusion_model.input_blocks.0.0.weight": (8,)}, "input_blocks.0.0.weight has not the shape"),
        ({**FLUX, "img_in.weight": ()}, "img_in.weight has not the shape"),
        ({next(iter(unet(768))): ()}, "attn2.to_k.weight has not the shape"),
    ],
)
def test_what_no_family_trains_is_named(
    plain: Rig, tmp_path: Path, tensors: dict[str, tuple[int, ...]], said: str
) -> None:
    path = make_checkpoint_file(tmp_path / "other.safetensors", **tensors)
    (problem,) = problems_of(plain, pretrained_model_name_or_path=str(path))
    assert said in str(problem)


@pytest.mark.parametrize("name", FAMILIES["flux"].files)
@pytest.mark.parametrize(("wrong", "said"), [("missing", "needs it"), ("absent", "no file"), ("swapped", "is not")])
def test_flux_s_further_files_are_looked_at(plain: Rig, tmp_path: Path, name: str, wrong: str, said: str) -> None:
    values = model_files(tmp_path / "model", "flux")
    other = next(one for one in FLUX_FILES if one != name)
    values[name] = {"missing": "", "absent": str(tmp_path / "absent"), "swapped": values[other]}[wrong]
    (problem,) = problems_of(plain, **values)
    assert problem.field == name and said in problem.message


def test_an_autoencoder_of_stable_diffusion_is_not_flux_s(plain: Rig, tmp_path: Path) -> None:
    values = model_files(tmp_path / "model", "flux")
    make_checkpoint_file(Path(values["ae"]), **{**FLUX_FILES["ae"], "decoder.conv_in.weight": (2, 4)})
    (problem,) = problems_of(plain, **values)
    assert problem.field == "ae" and "not FLUX.1's autoencoder" in problem.message


@pytest.mark.parametrize(
    ("family", "changes", "field"),
    [
        ("sd15", {"blocks_to_swap": 4}, "blocks_to_swap"),
        ("sd15", {"cache_text_encoder_outputs": True}, "cache_text_encoder_outputs"),
        ("sdxl", {"clip_skip": 1}, "clip_skip"),
        ("sdxl", {"v2": True}, "v2"),
        ("sdxl", {"cache_text_encoder_outputs": True, "text_encoder_lr": 0.0}, "shuffle_caption"),
        ("sdxl", {"cache_text_encoder_outputs": True, "shuffle_caption": False}, "text_encoder_lr"),
        ("flux", {"weighted_captions": True}, "weighted_captions"),
        ("flux", {"noise_offset": 0.1}, "noise_offset"),
        ("flux", {"fp8_base": True}, "fp8_base"),
        (
            "flux",
            {"cache_text_encoder_outputs": True, "shuffle_caption": False, "caption_dropout_rate": 0.1},
            "caption",
        ),
    ],
)
def test_settings_that_a_family_does_not_use_are_refused(
    plain: Rig, tmp_path: Path, family: str, changes: dict[str, Any], field: str
) -> None:
    values = {**model_files(tmp_path / "model", family), **changes}
    with pytest.raises(RequestError, match=field):
        plain.job(**values).prepare()


def test_a_program_that_is_not_there_is_said(plain: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = STAND_IN.info()
    older = TrainerInfo(whole.python, whole.torch, (), {}, {**whole.programs, "flux_train_network.py": {}})
    monkeypatch.setattr(sd_scripts.Trainer, "info", lambda self, refresh=False: older)
    (problem,) = problems_of(plain, **model_files(tmp_path / "model", "flux"))
    assert problem.field == "family" and "flux_train_network.py" in problem.message
    script = "sdxl_train_network.py"
    fewer = {name: option for name, option in whole.programs[script].items() if name != "cache_latents"}
    older = TrainerInfo(whole.python, whole.torch, (), {}, {**whole.programs, script: fewer})
    (problem,) = problems_of(plain, **model_files(tmp_path / "model", "sdxl"))
    assert problem.field == "cache_latents" and "no such option" in problem.message


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", FAMILY_PRESETS["sd15"])
def test_every_preset_makes_a_recipe_that_its_program_takes(family: str, name: str) -> None:
    if name not in FAMILY_PRESETS[family]:
        with pytest.raises(RequestError, match=FAMILIES[family].title):
            preset(name, family)
        return
    told = {"output_name": "x", "image_dir": "x", "pretrained_model_name_or_path": "x"}
    told |= {file: file for file in FAMILIES[family].files}
    recipe = Recipe.of({**told, **preset(name, family), "family": family})
    written = flat(training_config(recipe, 100))
    assert set(written) <= {*OPTIONS["train_network.py"], *OPTIONS[FAMILIES[family].script]}
    assert not set(written) & (FAMILIES[family].unused - {"v2"})
    general = dataset_config(recipe)["general"]
    assert general["min_bucket_reso"] <= general["resolution"] <= general["max_bucket_reso"]
    assert recipe.train_batch_size * recipe.gradient_accumulation_steps == 2
    assert general["resolution"] == (512 if name in ("cpu", "6gb") else 768 if family == "sd15" else 1024)


def test_unused_settings_and_defaults_are_settings() -> None:
    names = {known.name for known in SETTINGS}
    for family in FAMILIES.values():
        assert family.unused | set(family.defaults) | set(family.files) <= names
        for values in FAMILY_PRESETS[family.name].values():
            assert set(values) <= names - family.unused
    assert setting_named("family").choices == ("auto", *FAMILIES)


def test_the_checkpoint_s_family_chooses_defaults_and_preset(tmp_path: Path) -> None:
    path = model_files(tmp_path / "model", "sdxl")["pretrained_model_name_or_path"]
    options = {"pretrained_model_name_or_path": path, "network_dim": 4}
    recipe = files.compose(options=options, chosen="16gb", complete=False)
    assert (recipe.resolution, recipe.network_dim, recipe.unet_lr) == (1024, 4, 1e-4)
    assert recipe.cache_text_encoder_outputs and recipe.bucket_limits == (512, 2048)
    assert files.compose(options={**options, "family": "sd15"}, complete=False).resolution == 768
    assert files.compose(complete=False) == Recipe.of(files.compose(complete=False).to_dict(), complete=False)
    for unread in ("", "absent.safetensors", "owner/name", str(make_checkpoint(tmp_path / "folder", 64))):
        assert families.read_family(unread) == "sd15"
    assert families.read_family(str(make_checkpoint(tmp_path / "xl", 2048))) == "sdxl"
    assert families.read_family(str(make_checkpoint_file(tmp_path / "flux1-dev.sft", **FLUX))) == "flux"


@pytest.mark.parametrize("name", ["owner/some-xl", "model.ckpt"])
def test_a_family_that_cannot_be_read_is_told(plain: Rig, tmp_path: Path, name: str) -> None:
    if name.endswith("ckpt"):
        (tmp_path / name).write_bytes(b"PK\x03\x04rest")
    path = str(tmp_path / name) if name.endswith("ckpt") else name
    job = plain.job(pretrained_model_name_or_path=path)
    said = f"the family cannot be read from {name}; taken as sd15; set family"
    assert [problem.kind for problem in job.prepare().problems] == ["family_unread"]
    assert len(job.warnings) == 1 and job.warnings[0].startswith(said)
    assert plain.job(pretrained_model_name_or_path=path, family="sd15").warnings == () == plain.job().warnings


def test_a_resolution_below_the_family_s_is_told(tmp_path: Path) -> None:
    told = {**model_files(tmp_path / "model", "sdxl"), "resolution": 768}
    (warning,) = remarks(Recipe.of(told, complete=False))
    assert warning[0] == "low_resolution" and "768 is below the 1024 pixels" in warning[1]
    assert not [*remarks(Recipe.of({**told, "resolution": 1024}, complete=False))]
    path = model_files(tmp_path / "other", "sd15")["pretrained_model_name_or_path"]
    assert not [*remarks(Recipe.of({"pretrained_model_name_or_path": path, "resolution": 512}, complete=False))]


def test_what_caching_captions_asks_for_is_said(plain: Rig, tmp_path: Path) -> None:
    told = {"cache_text_encoder_outputs": True, "caption_dropout_rate": 0.1}
    problems = problems_of(plain, **model_files(tmp_path / "model", "sdxl"), **told)
    said = {one.field: one.message for one in problems}
    assert "set shuffle_caption to false (--no-shuffle-caption)" in said["shuffle_caption"]
    assert "set caption_dropout_rate to 0" in said["caption_dropout_rate"]
    assert "set text_encoder_lr to 0" in said["text_encoder_lr"]


def test_an_option_that_the_recipe_writes_names_its_setting(plain: Rig) -> None:
    for option, value, setting in (("xformers", True, "attention"), ("max_train_steps", 5, "max_train_epochs")):
        (problem,) = problems_of(plain, extra={option: value})
        assert problem.field == f"extra.{option}" and f"set {setting} instead" in problem.message


def test_where_a_lora_fits_is_what_the_hosts_page_says() -> None:
    """Its hosts by their names there, and none that has removed what it was trained on."""
    rows = (ROOT / "docs" / "hosts.md").read_text(encoding="utf-8").splitlines()
    head = next(row for row in rows if row.startswith("| feature |"))
    hosts = [cell.strip() for cell in head.strip("|").split("|")][1:]
    table = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for family in ("sdxl", "flux"):
        assert all(host in FAMILIES[family].fits for host in hosts), family
        assert all(host in table.split(f"| `{family}` |")[1].split("\n")[0] for host in hosts), family
    removed = next(row for row in rows if row.startswith("| SD 2 checkpoints"))
    cells = [cell.strip() for cell in removed.strip("|").split("|")][1:]
    gone = [host for host, cell in zip(hosts, cells) if cell == "removed by the host"]
    assert gone and all(f"not in {host}" in FAMILIES["sd15"].fits for host in gone)


def test_the_command_s_dry_run_names_the_family(plain: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {**model_files(tmp_path / "model", "sdxl"), "output_name": "bag", "output_dir": str(plain.runs)}
    line = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    where = ["--sd-scripts", str(STAND_IN.checkout), "--python", str(STAND_IN.python)]
    command_line = ["train", "run", str(plain.photographs), *line, *where, "--preset", "cpu", "--dry-run"]
    assert main([*command_line, "--resolution", "512"]) == 0
    told = capsys.readouterr().out
    assert told.endswith("family: sdxl, trained by sdxl_train_network.py\n") and "512×512" in told
    assert not plain.runs.exists()


def test_a_ledger_of_before_the_families_is_gone_on_with(plain: Rig) -> None:
    recipe = plain.recipe(family="sd15")
    known = [one for one in recipe.to_dict() if one not in ("family", "clip_l", "fp8_base", "reg_data_dir")]
    before = Ledger({name: recipe.to_dict()[name] for name in known}, 3, 6)
    assert before.changed_settings(recipe) == []
    assert before.changed_settings(plain.recipe(family="sdxl", clip_skip=2)) == ["family: sd15 → sdxl"]


def test_a_flux_s_captions_may_be_longer(plain: Rig, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos", count=1, size=(128, 128))
    (folder / "1.txt").write_text(f"{TAG}, " + "word, " * 150, encoding="utf-8")
    for family, said in (("sd15", True), ("flux", False)):
        told = model_files(tmp_path / family, family)
        report = plain.job(image_dir=str(folder), force=True, **told).prepare()
        assert ("caption_long" in {problem.kind for problem in report.problems}) == said


def test_advice_knows_the_family(plain: Rig) -> None:
    told = {"clip_l": "a", "t5xxl": "b", "ae": "c", "resolution": 1024, "max_bucket_reso": 2048}
    flux = plain.recipe(family="flux", **told)
    advice = explain_out_of_memory(flux)
    assert all(word in advice for word in ("fp8_base", "blocks_to_swap", "cache_text_encoder_outputs", "to 768"))
    assert "google_t5-v1_1-xxl" in explain_failure(["OSError: Can't load tokenizer for 'google/t5'"], 1, flux)
    assert "blocks_to_swap" not in explain_out_of_memory(plain.recipe(family="sd15"))


def test_a_lora_of_another_model_is_no_result(plain: Rig) -> None:
    plain.train(max_train_epochs=1)
    assert output_problem(plain.recipe(max_train_epochs=1, family="sd15")) == ""
    assert "says it is of sd_v1" in output_problem(plain.recipe(max_train_epochs=1, family="sdxl"))
