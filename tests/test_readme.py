"""What the README and the docs show works as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import WordLevelTrainer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from composed import asked, planned
from documents import EVERYTHING, PAGES, README, ROOT, block
from forked import python
from transfergrid.records.shipped import strategies
from transfergrid.runs.checking import check_parts


def run(words, folder):
    done = python(words, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_from_python(tmp_path):
    (tmp_path / "example.py").write_text(block("python", "from transfergrid.api import run"))
    command = [sys.executable, "example.py"]  # as it stands, imports and all
    printed = subprocess.run(command, cwd=tmp_path, check=True, stdout=-1, text=True).stdout
    assert "accuracy" in printed
    assert "name='scratch'" in printed


def test_verdicts_on_a_data_frame(tmp_path):
    pytest.importorskip("pandas")
    (tmp_path / "example.py").write_text(block("python", "from transfergrid.evidence.foreign"))
    printed = run(["example.py"], tmp_path)
    assert re.search(r"resnet18 +finetune +5 .*positive", printed)


@pytest.fixture(scope="module")
def own_strategy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_strategies.py").write_text(block("python", "class SmoothedFinetuning"))
    (folder / "my_conf" / "strategy").mkdir(parents=True)
    run([*PROGRAM, *own_command("transfergrid describe")], folder)
    return folder


PROGRAM = ["-m", "transfergrid"]


def own_command(begins):
    """Return the words of a command of the page on own strategies, without the program's name."""
    lines = block("bash", "strategy=smoothed,full_finetuning").splitlines()
    (line,) = [line for line in lines if line.startswith(begins)]
    return line.split()[1:]


def test_own_strategy_runs_in_a_grid(own_strategy):
    command = own_command("transfergrid --config-dir")
    short = ["training.steps=5", "source.training.steps=5", "references=[]"]
    printed = run([*PROGRAM, *command, *short], own_strategy)
    assert re.search(r"glyph\S+\s+smoothed\s", printed)
    assert re.search(r"gain over scratch", printed)


def test_own_strategy_passes_the_conformance_suite(own_strategy):
    run(["-c", block("python", "check_strategy(Smoothed")], own_strategy)


SMALL = "source.architecture.size=32"
SHORT = ("training.steps=3", "references=[]", "trainer.workers=1")


def shown(containing, folder, *more):
    """Run a command line of the README, with fewer steps; return what it prints."""
    (line,) = [line for line in block("bash", containing).splitlines() if containing in line]
    command = ["-m", "transfergrid.verbs.cli", *shlex.split(line)[1:], *more]
    return run(command, folder)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos of two classes in folders, the same in a table with patients, and weights."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    rows = ["path,finding,patient,hospital"]
    for number in range(24):
        kind = ("clear", "shadow")[number % 2]
        (folder / "photos" / kind).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 128, (40, 52, 3), dtype=np.uint8) + np.uint8(64 * (number % 2))
        Image.fromarray(pixels).save(folder / "photos" / kind / f"{number}.png")
        rows.append(f"photos/{kind}/{number}.png,{kind},p{number // 3},h{number % 4 // 2}")
    (folder / "scans.csv").write_text("\n".join(rows))
    network = timm.create_model("mobilenetv3_small_050", num_classes=7)
    save_file(network.state_dict(), folder / "mobilenetv3.safetensors")
    return folder


def test_own_images(photos):
    printed = shown("target.root=photos target.test_split", photos, *SHORT, SMALL)
    assert re.search(r"^photos\S* · 5 labels a class", printed, re.M)
    assert re.search(r"full_finetuning .* 1?\d?\d\.\d", printed)


def test_own_images_in_a_table_with_groups(photos):
    printed = shown("target.group_column=hospital", photos, *SHORT, SMALL)
    assert re.search(r"^scans\S*\s+·\s5 labels a class", printed, re.M)
    assert re.search(r"^scans\S*\s+in\s+h\d\s+·\s", shown("table results --by-group", photos), re.M)


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """Reviews in a table, and a tiny encoder in a folder as transformers saves it."""
    folder = tmp_path_factory.mktemp("reviews")
    words = {"good": ["fine", "lovely", "bright"], "bad": ["dull", "broken", "grey"]}
    texts = [
        (f"a {word} thing number {n}", stars)
        for stars, own in words.items()
        for word in own
        for n in ("one", "two", "three", "four", "five")
    ]
    lines = ["review,stars", *(f"{text},{stars}" for text, stars in texts)]
    (folder / "reviews.csv").write_text("\n".join(lines))
    tiny_encoder(folder / "my_encoder", [text for text, _ in texts])
    return folder


def tiny_encoder(folder, texts):
    tokenizer = Tokenizer(WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    trainer = WordLevelTrainer(special_tokens=["[UNK]", "[PAD]"])
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", model_max_length=16
    )
    fast.save_pretrained(folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(
        vocab_size=len(fast), intermediate_size=16, max_position_embeddings=16, **sizes
    )
    BertModel(config).save_pretrained(folder)


def test_own_text(reviews):
    printed = shown("source.folder=my_encoder target=text_table", reviews, *SHORT)
    assert re.search(r"^reviews\S* · 5 labels a class", printed, re.M)
    assert re.search(r"my_encoder\s+full_finetuning", printed)


def test_a_smaller_student(reviews):
    printed = shown("num_hidden_layers: 1", reviews, *SHORT)
    assert re.search(r"my_encoder\s+distillation", printed)


def test_own_numbers(tmp_path):
    rng = np.random.default_rng(0)
    header = ",".join([*(f"c{i}" for i in range(13)), "cultivar"])
    for name in ("last_year", "this_year"):
        rows = [[*rng.normal(i % 3, 1, 13).round(3).tolist(), i % 3] for i in range(60)]
        lines = [header, *(",".join(map(str, row)) for row in rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    printed = shown("target.file=this_year.csv", tmp_path, *SHORT, "source.training.steps=3")
    assert re.search(r"^this_year\S* · 5 labels a class", printed, re.M)
    assert re.search(r"mlp\s+full_finetuning", printed)


def test_own_network(tmp_path):
    (tmp_path / "my_networks.py").write_text(block("python", "class TwoLayers"))
    printed = shown("my_networks.TwoLayers", tmp_path, *SHORT, "source.training.steps=3")
    assert "architecture=TwoLayers" in printed
    assert "gain over scratch" in printed


def test_every_command_names_what_exists():
    """Options in the README's commands are options that are shipped."""
    shown = re.findall(r"\b(source|strategy|target|study|tracking)=([\w,]+)", EVERYTHING)
    conf = Path(__file__).parents[1] / "conf"
    own = {
        "smoothed",
        "mine",
        "method",
        "letters",
        "a",
        "b",
    }  # a user's, and columns of tables made elsewhere
    names = {(group, name) for group, value in shown for name in value.split(",")}
    missing = [pair for pair in names if pair[1] not in own]
    missing = [f"{g}={n}" for g, n in missing if not (conf / g / f"{n}.yaml").exists()]
    assert missing == []


TYPED = (
    "fine_tuning",
    "adaptation",
    "few_examples",
    "several_tasks",
    "unlabelled_data",
    "no_examples",
    "ratings",
)
OF_STRATEGIES = [
    line
    for page in TYPED
    for line in re.findall(
        r"(?m)^transfergrid (.*\bstrategy=.*?)(?:\s+#.*)?$", PAGES[f"{page}.md"].replace("\\\n", "")
    )
]


@pytest.mark.parametrize("line", OF_STRATEGIES)
def test_what_is_typed_beside_a_strategy_s_name_is_taken(line):
    words = shlex.split(line)
    if re.search(r"source=(minilm|mobilenetv2|timm|clip)|\.csv|root=", line):  # of files
        assert asked(*words)
        return
    plan = planned(*words)
    others = [told for told in plan.skipped if "labels=0 gives none" not in told.reason]
    assert not others, "of budgets side by side, what needs labels has none at 0"
    first = {cell.names.strategy: cell for cell in reversed(plan.cells)}
    assert min(map(check_parts, first.values())) >= 0


def test_each_room_of_strategies_has_its_commands():
    named = {name for line in OF_STRATEGIES for name in re.findall(r"\bstrategy=(\S+)", line)}
    rooms = {strategies()[name].split(".")[-3] for names in named for name in names.split(",")}
    shipped = {target.split(".")[-3] for target in strategies().values()}
    assert shipped <= rooms


def test_the_excerpt_is_of_the_studys_table():
    (shown,) = re.findall(r"<!-- excerpt:begin -->\n```text\n(.*?)\n```", README, re.S)
    table = (ROOT / "experiments" / "digits" / "table.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in shown.splitlines() if line]
    assert [line for line in lines if line not in table] == []
    assert 8 <= len(lines) <= 14
    assert len(README.splitlines()) <= 100


def test_pages_lead_to_what_is_there():
    """Links of the README and the docs name files, or pages that Sphinx makes."""
    made = {"notebooks", "reference"}
    for name, text in {"README.md": README, **PAGES}.items():
        here = ROOT if name == "README.md" else ROOT / "docs"
        for link in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (here / link).exists() or link.split("/")[0] in made, (name, link)
    listed = set(re.findall(r"^(\w+)$", PAGES["index.md"], re.M))
    assert {name.removesuffix(".md") for name in PAGES} - {"index"} <= listed
