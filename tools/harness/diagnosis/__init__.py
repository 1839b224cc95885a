"""What went wrong in a run: `trace` reads its curve, `features` measures it, `causes` judges, `report` tells."""
