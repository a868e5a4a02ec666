"""Instances that verifiers have settled: provably attackable ones should fall, provably robust ones must not.

    python tests/benchmarks/verified_instances.py MODEL.onnx INSTANCES.npz [--seeds 0 1 2] [--suite adaptive]

The arrays: `lower` and `upper` (N, features) in the model's own units, `label` (N,), `status` (N,) of sat, unsat or
unknown. Exits with 1 when a provably robust instance was broken: then a box, a bound or a replay is wrong.
"""

import argparse
import sys

import numpy as np

import robcheck


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("instances")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--suite", default="adaptive")
    options = parser.parse_args()
    model = robcheck.load_model(options.model)
    truth = np.load(options.instances)
    shape = (len(truth["label"]), *(model.info.input_shape or truth["lower"].shape[1:]))
    lower, upper = (truth[key].astype(np.float32).reshape(shape) for key in ("lower", "upper"))
    x = np.clip((lower + upper) / 2, lower, upper)
    wrong = 0
    for seed in options.seeds:
        result = robcheck.evaluate(
            model, x, truth["label"].astype(np.int64), box=(lower, upper), suite=options.suite, seed=seed
        )
        broken = np.array([sample.outcome == "broken" for sample in result.samples])
        counts = {
            str(s): f"{broken[truth['status'] == s].sum()}/{(truth['status'] == s).sum()}" for s in ("sat", "unsat")
        }
        cost = result.passes
        print(
            f"seed {seed}: broken {counts}, {cost.forward / len(x):,.0f} forward and {cost.backward / len(x):,.0f} "
            f"backward passes per instance, {result.seconds:.1f} s"
        )
        wrong += int(broken[truth["status"] == "unsat"].sum())
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
