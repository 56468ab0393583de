"""Words that tell how hard a task is, in eleven languages. In: nothing. Out: stems for scripts with spaces between words, pieces for those without.

Few and general on purpose: verbs of asking, not subjects. Chosen with the tuning half of tests/routing/auto_set.toml in view, see docs/auto-model.md.
"""

LISTS = ("proof", "hard", "expert", "medium", "easy")
"""The place of each in the answers of `routing.auto`."""

_STEMS = (
    # proof
    "prove proof proving theorem lemma deriv rigorous counterexample induction contour"  # English
    " beweis herleit leite widerspr"  # German
    " démontr prouve théorème"  # French
    " demuestr demostr demonstr dimostr teorema deduz deduc"  # Spanish, Portuguese, Italian
    " докаж доказ выведи теорем доведи"  # Russian, Ukrainian
    " أثبت برهن برهان सिद्ध प्रमाण",  # Arabic, Hindi
    # hard
    "optimi architect refactor debug deadlock concurren distributed algorithm complexity trade-off tradeoff invariant asymptot migrat integral eigen bayes"
    " stochast critiqu diagnos threat probabilit expected variance recurrence segfault consensus throughput idempot scalab constraint simulat strateg liab"
    " regression design interleav downtime partition ordering failure inference attack"
    " entwirf entwerf nebenläuf wahrscheinlich abwäg wäge optimier skalier architekt haftung strategie"
    " conçois concev probabilité justifi concurren espérance variance"
    " diseñ projet progett probabilid optimiz otimiz ottimizz concorr heuríst algorit"
    " спроектир оптимиз вероятност алгоритм сложност розподілен распредел"
    " صمم خوارزمية احتمال डिज़ाइन एल्गोरिथम प्रायिकता जटिलता",
    # expert: subjects in which a wrong answer looks right, by stems that many languages share
    "isomorph algebra topolog measur metri tensor quantum quant polynom converg equilib oracle manifold hamilton lagrang einstein maxwell fourier laplace"
    " matri vector graph subtree vertex vertices entrop thermodyn relativ integra antideriv derivat modul kernel driver interrupt latenc tcpdump keep-alive"
    " balancer mutex thread cache compiler parser crypto oauth kubernetes cluster replica shard raft paxos transaction index bytecode"
    " auction bid hedg option derivative valuation churn margin audit tax statut jurisd litig contract patent compliance gdpr"
    " dosage interact renal cardi antibiot pharmac patholog oncolog prosthe genom protein enzym kinetic"
    " gmbh steuer besteuer insolv gesellschaft gestaltung rechts vertrag gruppe funktional"
    " groupes isomorphisme société juridi fiscal contrat équation"
    " sociedad societ trabalhist execu ecuacion equaz agujero métrica horizont"
    " сходимост равномерн отрезк матриц функционал договор налог суд уравнени"
    " متصل معادلة قانون عقد अभाज्य समीकरण कानून",
    # medium
    "explain compar write implement summar analy plan draft review function query script essay email pros regex describe steps tests why"
    " erklär vergleich schreib fasse analysier funktion warum"
    " explique écris écri résum fonction pourquoi lettre"
    " explica escrib escrev scrivi spiega resum riassum función função"
    " объясн сравн напиш функци поясни почему чому"
    " اشرح قارن اكتب समझा तुलना लिख अंतर",
    # easy
    "hi hello hey thanks thank translat capital synonym spell rhyme joke greet capitali convert rephrase list name who when where classify sentiment extract"
    " correct shorten shorter title define year turn dutch french english german spanish italian how-many"
    " hallo danke übersetz hauptstadt wer wann nenne liste witz korrigier kürze"
    " bonjour salut merci tradui capitale qui quand cite corrige"
    " hola olá ciao gracias obrigad grazie traduc traduz quién quem cuándo cuál corrig chiste lista"
    " привет спасибо переведи столиц кто когда назови дякую переклад исправ"
    " مرحبا شكرا ترجم عاصمة नमस्ते धन्यवाद अनुवाद राजधानी",
)  # fmt: skip

_PIECES = (
    "证明 推导 定理 証明 導出 증명 반례",
    "设计 优化 算法 复杂度 分布式 并发 概率 架构 死锁 設計 最適化 アルゴリズム 分散 確率 설계 최적화 알고리즘 확률",
    "群 环 积分 微分 收敛 矩阵 序列 区间 线程 内核 事务 一致性 法律 税 量子 群論 積分 微分 収束 行列 整合性 障害 トランザクション 군 적분 행렬 정역 수렴",
    "解释 比较 写 总结 分析 函数 影响 説明 比較 書いて 要約 関数 仕組み 설명 비교 작성 요약 함수",
    "你好 谢谢 翻译 首都 是谁 列出 こんにちは ありがとう 訳して 翻訳 教えて どっち 怎么区分 안녕 감사 번역 수도",
)

STEMS = {stem: place for place, stems in reversed(list(enumerate(_STEMS))) for stem in stems.split()}
PIECES = {piece: place for place, pieces in reversed(list(enumerate(_PIECES))) for piece in pieces.split()}
