"""Configs of the trainers, to lie beside the files: what to train on, what to choose the best by.

    axolotl.yml                            for `--format axolotl`
    dataset_info.json, llamafactory.yml    for `--format sharegpt`
    trl.yml                                for the trl formats and prompt-completion

They name train and val and never another file: who tests on what a checkpoint was chosen by tests
nothing. The base model is for the user to set, in the first line. All else is a start, not a
tuned recipe: LoRA of rank 16 on all linear layers, or what `--method` says.

`card_header` is for the README.md of an export, which makes a directory a data set that
`datasets.load_dataset(directory)` reads, with splits train and validation. It names the type of
each column: messages are JSON. Without it `datasets` takes a column's type from its first 10 MB and
fails where the first tool call comes later, or (3.6) fills every object with the keys of all
others, as null. `trl sft` loads the directory that way. And the header says which rows these are:
`datasets` (5.2) keeps what it has loaded under the directory's name and this header alone, and
would give who exports again to a directory of that name the rows of before.
"""

import json
from dataclasses import dataclass
from enum import StrEnum

from exporters.formats import FORMATS

BYTES_A_TOKEN = 3  # of a row; few in any script, so the length is rather too long than too short
LENGTH_MIN, LENGTH_MAX, LENGTH_STEP = 512, 131_072, 256
BASE_MODEL = "SET-THIS/to-the-model-you-fine-tune"

CONFIG_FILES = frozenset({"axolotl.yml", "dataset_info.json", "llamafactory.yml", "trl.yml"})

_SFT = ("trl", "trl-messages", "prompt-completion")


class Method(StrEnum):
    """How a model is fine-tuned."""

    LORA = "lora"
    QLORA = "qlora"
    DORA = "dora"
    FULL = "full"


@dataclass(frozen=True)
class TrainerFacts:
    """What the configs depend on.

    `train_file` and `val_file` are empty if they have no rows: loaders refuse an empty file.
    `last_only`: of every row the last answer alone is trained. `longest_row_bytes`: of the rows of
    both files. `rows_sha256`: of both files, whatever stands for them.
    """

    format: str
    train_file: str
    val_file: str
    longest_row_bytes: int
    last_only: bool = False
    method: Method = Method.LORA
    rows_sha256: str = ""

    @property
    def length(self) -> int:
        """The longest row in tokens, an estimate, rounded up."""
        tokens = -(-self.longest_row_bytes // BYTES_A_TOKEN)
        rounded = -(-tokens // LENGTH_STEP) * LENGTH_STEP
        return min(max(rounded, LENGTH_MIN), LENGTH_MAX)


def trainer_files(facts: TrainerFacts) -> dict[str, bytes]:
    """Write the configs of an export, by file name; none for formats of hosts, or no rows."""
    if not facts.train_file:
        return {}
    if facts.format == "axolotl":
        return {"axolotl.yml": _axolotl(facts)}
    if facts.format == "sharegpt":
        return {
            "dataset_info.json": _dataset_info(facts),
            "llamafactory.yml": _llamafactory(facts),
        }
    if facts.format in _SFT or facts.format == "trl-dpo":
        return {"trl.yml": _trl(facts)}
    return {}


def card_header(facts: TrainerFacts) -> str:
    """Write the header of a dataset card, from `---` to `---`; empty if there are no rows."""
    splits = {"train": facts.train_file, "validation": facts.val_file}
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split, path in splits.items():
        if path:
            lines += [f"  - split: {split}", f"    path: {path}"]
    lines += ["dataset_info:", f"  description: rows {facts.rows_sha256}"]
    columns = _COLUMNS.get(facts.format, {})
    if columns:
        lines.append("  features:")
        for name, kind in columns.items():
            key, value = ("list", "json") if kind == "messages" else ("dtype", kind)
            lines += [f"  - name: {name}", f"    {key}: {value}"]
    return "\n".join([*lines, "---", ""]) if any(splits.values()) else ""


# Parquet files name the types of their columns themselves.
_CHAT_TOOLS = {"messages": "messages", "tools": "messages"}
_COLUMNS = {
    "openai": {**_CHAT_TOOLS, "parallel_tool_calls": "bool"},
    "together": _CHAT_TOOLS,
    "fireworks": _CHAT_TOOLS,
    "mistral": _CHAT_TOOLS,
    "axolotl": {"messages": "messages", "tools": "string"},
    "trl": {"prompt": "messages", "completion": "messages", "tools": "string"},
    "trl-messages": {"messages": "messages", "tools": "string"},
    "trl-dpo": {
        "prompt": "messages",
        "chosen": "messages",
        "rejected": "messages",
        "tools": "string",
    },
    "sharegpt": {"conversations": "messages", "system": "string", "tools": "string"},
    "prompt-completion": {"prompt": "string", "completion": "string"},
    "text-label": {"text": "string", "label": "string"},
}
assert _COLUMNS.keys() <= FORMATS.keys()


def _length_line(facts: TrainerFacts, key: str) -> str:
    return (
        f"{key}: {facts.length}  # estimate: the longest row has {facts.longest_row_bytes:,} bytes"
    )


def _axolotl(facts: TrainerFacts) -> bytes:
    """Write Axolotl's config; its schema: AxolotlInputConfig."""
    method = {
        Method.LORA: ["adapter: lora"],
        Method.QLORA: ["adapter: qlora", "load_in_4bit: true"],
        Method.DORA: ["adapter: lora", "peft_use_dora: true"],
        Method.FULL: [],
    }[facts.method]
    if method:
        method += ["lora_r: 16", "lora_alpha: 32", "lora_dropout: 0.05", "lora_target_linear: true"]
    dataset = [
        "    type: chat_template",
        '    roles_to_train: ["assistant"]',
        "    train_on_eos: turn",
        "    message_field_training: train  # false on answers that are only read",
        "    field_tools: tools",
    ]
    lines = [
        f"base_model: {BASE_MODEL}",
        "chat_template: tokenizer_default",
        "datasets:",
        f"  - path: {facts.train_file}",
        *dataset,
        "val_set_size: 0  # never a part of train",
    ]
    if facts.val_file:
        lines += ["test_datasets:  # what Axolotl calls the data a checkpoint is chosen by"]
        lines += [f"  - path: {facts.val_file}", "    split: train", *dataset]
        lines += ["eval_strategy: epoch"]
    lines += [
        *method,
        _length_line(facts, "sequence_len"),
        "sample_packing: false",
        "micro_batch_size: 1",
        "gradient_accumulation_steps: 8",
        "gradient_checkpointing: true",
        "num_epochs: 3",
        "optimizer: adamw_torch",
        "lr_scheduler: cosine",
        f"learning_rate: {_rate(facts, dpo=False)}",
        "warmup_ratio: 0.03",
        "bf16: auto",
        "save_strategy: epoch",
        "seed: 42",
        "output_dir: model",
    ]
    return _text(lines)


def _dataset_info(facts: TrainerFacts) -> bytes:
    """Write LLaMA-Factory's list of data sets: `shalt_train`, and `shalt_val` if it has rows."""
    files = {"shalt_train": facts.train_file, "shalt_val": facts.val_file}
    columns = {"messages": "conversations", "system": "system", "tools": "tools"}
    found = {
        name: {"file_name": path, "formatting": "sharegpt", "columns": columns}
        for name, path in files.items()
        if path
    }
    return json.dumps(found, indent=2).encode() + b"\n"


def _llamafactory(facts: TrainerFacts) -> bytes:
    """Write LLaMA-Factory's config; its keys: the dataclasses of `llamafactory.hparams`."""
    method = {
        Method.LORA: [],
        Method.QLORA: ["quantization_bit: 4", "quantization_method: bnb"],
        Method.DORA: ["use_dora: true"],
        Method.FULL: [],
    }[facts.method]
    if facts.method is Method.FULL:
        method = ["finetuning_type: full"]
    else:
        method = [
            "finetuning_type: lora",
            "lora_rank: 16",
            "lora_alpha: 32",
            "lora_target: all",
            *method,
        ]
    lines = [
        f"model_name_or_path: {BASE_MODEL}",
        "template: SET-THIS  # the model's: qwen3, llama3, gemma3, ...",
        "stage: sft",
        "do_train: true",
        *method,
        "dataset_dir: .",
        "dataset: shalt_train",
        f"mask_history: {_yes(facts.last_only)}  # train the last answer of a row alone",
    ]
    if facts.val_file:
        lines += ["eval_dataset: shalt_val", "eval_strategy: epoch"]
    lines += [
        _length_line(facts, "cutoff_len"),
        "per_device_train_batch_size: 1",
        "gradient_accumulation_steps: 8",
        "num_train_epochs: 3",
        f"learning_rate: {_rate(facts, dpo=False)}",
        "lr_scheduler_type: cosine",
        "bf16: true",
        "save_strategy: epoch",
        "seed: 42",
        "output_dir: model",
    ]
    return _text(lines)


def _trl(facts: TrainerFacts) -> bytes:
    """Write TRL's config; its keys: ScriptArguments, SFTConfig or DPOConfig, ModelConfig."""
    method = {
        Method.LORA: [],
        Method.QLORA: ["load_in_4bit: true"],
        Method.DORA: ["use_dora: true"],
        Method.FULL: [],
    }[facts.method]
    if facts.method is not Method.FULL:
        method = [
            "use_peft: true",
            "lora_r: 16",
            "lora_alpha: 32",
            "lora_target_modules: [all-linear]",
            *method,
        ]
    is_dpo = facts.format == "trl-dpo"
    lines = [
        f"model_name_or_path: {BASE_MODEL}",
        f"# In the export's directory: trl {'dpo' if is_dpo else 'sft'} --config trl.yml",
        "dataset_name: .  # README.md says which files are train and validation",
        "dataset_train_split: train",
    ]
    if facts.val_file:
        lines += ["dataset_test_split: validation", "eval_strategy: epoch"]
    else:
        lines += ['eval_strategy: "no"']
    if facts.format == "trl-messages" or (facts.format == "trl" and not facts.last_only):
        lines += ["assistant_only_loss: true  # several answers in a row: nothing between them"]
    lines += [
        *method,
        _length_line(facts, "max_length"),
        "per_device_train_batch_size: 1",
        "gradient_accumulation_steps: 8",
        "num_train_epochs: 3",
        f"learning_rate: {_rate(facts, dpo=is_dpo)}",
        "lr_scheduler_type: cosine",
        "save_strategy: epoch",
        "seed: 42",
        "output_dir: model",
    ]
    return _text(lines)


def _rate(facts: TrainerFacts, *, dpo: bool) -> str:
    """The learning rate to begin with: TRL's defaults for DPO, ten times as much for adapters."""
    if dpo:
        return "0.000001" if facts.method is Method.FULL else "0.00001"
    return "0.00002" if facts.method is Method.FULL else "0.0002"


def _yes(value: bool) -> str:
    return "true" if value else "false"


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
