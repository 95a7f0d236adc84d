"""Display names of methods, data sets, measures and models in tables and figures.

A method without an entry is shown without underscores. If it begins with the name of a method that has an entry, that
entry is used: `grpo_random` is "GRPO, random".
"""

from __future__ import annotations

from dopr.config.section import TOP

REUSE = "_reuse"
METHOD_NAMES = {
    "base": "base policy",
    "grpo": "GRPO",
    "dopr": "DoPR",
    "dopr_profile": "DoPR, profile",
    "dopr_cold": "DoPR, own visits",
    "dopr_text": "DoPR, similar texts",
    "dopr_text_rft": "DoPR, similar texts, RFT",
    "dopr_hidden": "DoPR, similar states",
    "dopr_label": "DoPR, labels (bound)",
    "grpo_small": "GRPO, small batch",
    "grpo_long": "GRPO, long",
    "rft": "RFT",
    "random_one": "random-1",
    "max_variance_one": "max-variance-1",
    "max_variance": "max-variance",
    "one_shot": "1-shot",
    "fixed": "fixed set",
    "lim": "LIMR",
    "ucb": "UCB",
    "dapo": "DAPO",
    "greso": "GRESO",
    "mopps": "MoPPS",
    "speed": "SPEED",
    "ppo": "PPO",
    "format": "format reward",
    "ent": "entropy alone",
    "dots_rr": "DOTS + RR",
    "pods": "PODS",
    "ar3po": "AR3PO",
    "prepo": "PREPO",
    "depo": "DEPO",
}
SETS = {
    "base": "base policy",
    "math": "MATH (7,500)",
    "dsr_sub": "DSR-sub (1,209)",
    "pi1_to_pi16": "π₁ to π₁₆",
    "pi1_simplified": "π₁ simplified",
    "random16": "16 at random",
    "one_shot": "1-shot",
    "deepscaler": "DeepScaleR",
    "four_shot": "4 official examples",
}
MEASURES = {
    "math500": "MATH500",
    "aime24": "AIME 2024",
    "aime25": "AIME 2025",
    "amc23": "AMC 2023",
    "minerva_math": "Minerva",
    "olympiadbench": "Olympiad",
    "arc_easy": "ARC-Easy",
    "arc_challenge": "ARC-Challenge",
    "math500_boxed": "boxed, MATH500",
    "math500_judged": "MATH500, judged by QwQ",
    "pass_at_8": "pass@8",
    "best_step": "step of the best",
    "math500: Counting & Probability": "Counting, Prob.",
    "math500: Intermediate Algebra": "Interm. Algebra",
}
MODELS = {
    "Qwen2.5-Math-1.5B": "Math-1.5B",
    "Qwen2.5-Math-7B": "Math-7B",
    "Qwen2.5-Math-1.5B-Instruct": "Math-1.5B-I",
    "Llama-3.2-3B-Instruct": "Llama-3.2-3B-I",
    "DeepSeek-R1-Distill-Qwen-1.5B": "R1-Distill-1.5B 8k",
    "DeepSeek-R1-Distill-Qwen-1.5B, 32k": "R1-Distill-1.5B 32k",
}
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def counterpart(method: str) -> str:
    """Return the method without reuse: `dopr` for `dopr_reuse`."""
    return method.removesuffix(REUSE)


def display_name(method: str) -> str:
    """Return the display name of a method."""
    name = counterpart(method)
    top = TOP.match(name)
    shown = f"top {top[1]}" if top else METHOD_NAMES.get(name) or _from_prefix(name)
    return shown + (" + reuse" if name != method else "")


def dataset_name(training: str, method: str) -> str:
    """Return the display name of a published training set, with the method if it is not GRPO: `pi1_pi13` is π₁, π₁₃."""
    prompts = ", ".join(f"π{name.removeprefix('pi').translate(SUBSCRIPTS)}" for name in training.split("_"))
    shown = SETS.get(training, prompts)
    return shown if method in ("base", "grpo", "other") else f"{shown}, {display_name(method)}"


def measure_name(measure: str) -> str:
    """Return the display name of a benchmark or of another published measure."""
    return MEASURES.get(measure, measure.removeprefix("math500: ").replace("_", " "))


def model_name(model: str) -> str:
    """Return the short name of a published model."""
    return MODELS.get(model, model)


def _from_prefix(name: str) -> str:
    """Return the display name of the longest prefix that has one, and the rest of the name."""
    prefixes = [known for known in METHOD_NAMES if name.startswith(f"{known}_")]
    if not prefixes:
        return name.replace("_", " ")
    prefix = max(prefixes, key=len)
    return f"{METHOD_NAMES[prefix]}, {name.removeprefix(prefix)[1:].replace('_', ' ')}"
