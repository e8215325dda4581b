"""Compare the models on the rows set aside: metrics for the table, points of the ROC curves for the plot."""

import csv
import json
import pickle
import sys
from pathlib import Path

import numpy
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score, roc_curve

data, models, metrics, plot = map(Path, sys.argv[1:5])
x, y = numpy.load(data / "x_test.npy"), numpy.load(data / "y_test.npy")
found, points = {}, []
for file in sorted(models.glob("*.pkl")):
    model = pickle.loads(file.read_bytes())
    chance = model.predict_proba(x)[:, 1]
    found[file.stem] = {
        "roc_auc": round(float(roc_auc_score(y, chance)), 4),
        "accuracy": round(float(accuracy_score(y, chance > 0.5)), 4),
        "recall": round(float(recall_score(y, chance > 0.5)), 4),
    }
    points += [(file.stem, round(float(a), 4), round(float(b), 4)) for a, b in zip(*roc_curve(y, chance)[:2])]
    print(f"{file.stem:<10} " + "  ".join(f"{name}={value}" for name, value in found[file.stem].items()))
best = max(found, key=lambda name: found[name]["roc_auc"])
print(f"best: {best}")
metrics.write_text(json.dumps({"best": found[best], "models": found}, indent=2) + "\n")
plot.parent.mkdir(exist_ok=True)
with open(plot, "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([("model", "false_positives", "true_positives"), *points])
