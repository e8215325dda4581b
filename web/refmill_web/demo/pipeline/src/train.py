"""Fit one model on the prepared rows and keep it."""

import pickle
import sys
import time
from pathlib import Path

import numpy
from params import load
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

name, data, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
params = load("train", name)
x, y = numpy.load(data / "x_train.npy"), numpy.load(data / "y_train.npy")
model = {
    "forest": lambda: RandomForestClassifier(params["trees"], max_depth=params["depth"], random_state=0),
    "boosting": lambda: GradientBoostingClassifier(
        n_estimators=params["rounds"], max_depth=params["depth"], random_state=0
    ),
    "neighbours": lambda: KNeighborsClassifier(params["count"]),
    "logistic": lambda: LogisticRegression(C=params["c"], max_iter=1000),
}[name]()

print(f"{name}: {params}", flush=True)
for fold, score in enumerate(cross_val_score(model, x, y, cv=5, scoring="roc_auc"), 1):
    print(f"fold {fold}/5 roc_auc={score:.4f}", flush=True)
start = time.perf_counter()
model.fit(x, y)
print(f"fitted on all {len(y)} rows in {time.perf_counter() - start:.2f} s")
target.parent.mkdir(exist_ok=True)
target.write_bytes(pickle.dumps(model, protocol=5))
