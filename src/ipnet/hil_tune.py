"""Fine-tuning through the hardware: forwards on the bench, backwards through the model of its card."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from ipnet.cache import content_hash, write_atomically
from ipnet.finished import Finished
from ipnet.hil import prepare, put_on_bench, some_of
from ipnet.perturbation import add_noise, build_noise
from ipnet.seeds import make_seed
from ipnet.shots import Answers, Trim
from ipnet.trainee import adamw, isolated, jitter_clips, reseed


def tune_on_bench(
    finished: Finished,
    place: str,
    bench: Answers,
    junctions: Sequence[int],
    output: Path,
    *,
    clips: int = 64,
    epochs: int = 1,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    seed: int = 0,
    trims: Mapping[int, Trim] | None = None,
    say: Callable[[str], object] = lambda _: None,
    report: Callable[[float], None] = lambda _: None,
) -> list[float]:
    """Train a trained network further, with the memory of one position on a bench, and write its weights.

    The spikes of a step are measured; their gradient is that of the card's law, straight through (`Hardware`).
    AdamW, and the augmentation, noise and weight decay of the run. Everything else is a function of the seed and
    of the answers, so the same call on the same journal goes on where it stopped, without a checkpoint.

    Args:
        finished: the network; it stands on the bench from then on.
        place: of the memory, which must be intrinsic.
        bench: measures.
        junctions: that take turns.
        output: safetensors file of the weights, for `ipnet.finished.load_finished`.
        clips: of the train split, drawn by the seed.
        epochs: how often each of them is seen.
        batch_size: clips in a step.
        learning_rate: of all parameters.
        seed: of the clips and their order.
        trims: see `ipnet.hil.run_on_bench`.
        say: told what it will take, before the first step.
        report: told the share of the steps that is done.

    Returns:
        Mean loss of each epoch.

    Raises:
        IPNetError: no such memory, or more clips than there are; what the bench raises.
    """
    items, network, training = finished.task.items("train"), finished.network, finished.run.training
    chosen = np.array(some_of(items, clips, seed))
    trims, living, _ = prepare(finished, place, bench, junctions, clips * epochs, trims, say)
    options = clips, epochs, batch_size, learning_rate, seed, living
    names, label = list(network.state_dict()), f"tune/{finished.source}/{place}/{content_hash(options)[:8]}"
    put_on_bench(network, place, bench, living, label, trims)
    optimiser, noise = adamw(network, training, learning_rate), build_noise(training.noise)
    losses, steps = list[float](), epochs * -(-clips // batch_size)
    with isolated(training.threads):
        network.train()
        done = 0
        for epoch in range(epochs):
            reseed(network, seed, epoch)
            order = np.random.default_rng(make_seed(seed, epoch)).permutation(chosen)
            total = 0.0
            for numbers in np.split(order, range(batch_size, clips, batch_size)):
                x, y = items.batch(numbers.tolist())
                generator = torch.Generator().manual_seed(make_seed(seed, epoch, done))
                moved = add_noise(jitter_clips(x, training, generator), noise, generator)
                loss = finished.task.loss(finished.task.combine(network(moved)[0]), y)
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
                total, done = total + len(numbers) * float(loss.detach()), done + 1
                report(done / steps)
            losses.append(total / clips)
    state = network.state_dict()
    weights = {name: state[name].contiguous() for name in names}
    write_atomically(output, lambda temporary: save_file(weights, temporary))
    return losses
