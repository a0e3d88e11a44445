"""Do the 95 % intervals of `ipnet devices fit` hold the truth in 95 of 100 measurements? Simulated, many times.

``python benchmarks/recovery.py --sets 200`` prints, for each junction, the share of intervals that hold the truth,
and whether the p-values of the goodness of fit are uniform (Kolmogorov and Smirnov).
"""

import argparse
import sys
import time
from typing import Any

import numpy as np
from scipy.stats import kstest

from ipnet.cards import Entry, make_card, read_card_file
from ipnet.device.mtj import MTJ
from ipnet.fit import fit, install, load_junction, logarithms, parameter_names
from ipnet.simulated_measurement import plan, simulate

DESIGN: dict[str, Any] = {
    "delays": [1e-7, 3e-7, 1e-6, 3e-6],
    "V_cond": 0.4,
    "t_cond": 5e-7,
    "widths": [1e-7, 1e-6],
    "ambients": [300, 340],
}
TWO_POLES = DESIGN | {"delays": [1e-8, 3e-8, 6e-8, 1e-7, 2e-7, 3e-7, 1e-6, 3e-6], "widths": [2e-8, 1e-7, 1e-6]}
# Parameters of mtj-thermal times these, in the order of `parameter_names`; what is measured; pulses per row.
JUNCTIONS: dict[str, tuple[list[float], dict[str, Any], int]] = {
    "mtj-thermal": ([1, 1, 1, 1, 1], DESIGN, 300),
    "fast and cool": ([1.3, 0.8, 0.8, 0.6, 0.3], DESIGN | {"delays": [3e-8, 1e-7, 3e-7, 1e-6]}, 300),
    "slow and hot": ([0.7, 1.1, 1.3, 1.5, 2], DESIGN | {"delays": [3e-7, 1e-6, 3e-6, 1e-5], "t_cond": 2e-6}, 300),
    "two poles": ([1, 1, 1, 0.5, 0.75, 0.05, 1.5], TWO_POLES, 2000),
}


def truth(factors: list[float]) -> MTJ:
    """A junction like mtj-thermal, with as many poles as there are factors."""
    file, poles = read_card_file("mtj-thermal"), (len(factors) - 3) // 2
    parts = {
        key: Entry(value=(value,) * poles, unit=unit, assumed="a benchmark")
        for key, value, unit in (("R_th", 1.6, "K/uW"), ("tau_th", 1.0, "us"))
    }
    file = file.model_copy(update={"parameters": file.parameters | parts})
    device = MTJ(make_card(file, MTJ.Parameters, MTJ.Clock))  # type: ignore[arg-type]
    install(device, logarithms(device) + np.log(factors))
    return device


def main() -> None:
    """Run the sets and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=200, help="measurements per junction")
    sets, base = parser.parse_args().sets, load_junction("mtj-thermal")
    for name, (factors, design, trials) in JUNCTIONS.items():
        device, start = truth(factors), time.perf_counter()
        conditions, values = plan(device, **design), np.exp(logarithms(device))
        held: dict[str, list[bool]] = {key: [] for key in parameter_names(device)}
        p_values, left_out = [], 0
        for seed in range(sets):
            found = fit(simulate(device, conditions, trials, seed), base, device.poles)
            p_values.append(found.goodness.p_value)
            left_out += len(found.quarantined)
            for key, value in zip(held, values, strict=True):
                if key in found.estimates:
                    held[key].append(found.estimates[key].low <= value <= found.estimates[key].high)
        shares = ", ".join(f"{key} {np.mean(part):.1%} of {len(part)}" for key, part in held.items() if part)
        sys.stdout.write(
            f"{name} ({len(conditions['V'])} rows of {trials}): {shares}; p-values uniform: "
            f"{kstest(p_values, 'uniform').pvalue:.2g}; {left_out} rows left out; "
            f"{(time.perf_counter() - start) / sets:.2g} s per fit\n"
        )


if __name__ == "__main__":
    main()
