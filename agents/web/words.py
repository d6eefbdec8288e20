"""What the page says, in English and Chinese. One table, so that neither can lack a word."""

from __future__ import annotations

from typing import Final, Literal, get_args

Language = Literal["en", "zh"]

LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)

# ruff: noqa: RUF001 (Chinese punctuation is meant)

_WORDS: Final[dict[str, tuple[str, str]]] = {
    # Pages and the bar above them
    "market": ("Market", "市场"),
    "agents": ("Agents", "参与者"),
    "ledger": ("Ledger", "账本"),
    "devices": ("Devices", "设备"),
    "evaluation": ("Evaluation", "评估"),
    "pages": ("Pages", "页面"),
    "light": ("Light", "浅色"),
    "dark": ("Dark", "深色"),
    "state_waiting": ("waiting", "等待中"),
    "state_live": ("live", "实时"),
    "state_silent": ("silent", "无新消息"),
    "state_disconnected": ("disconnected", "已断开"),
    "state_ended": ("run ended", "运行已结束"),
    "settled_of": ("{settled} of {periods} periods settled", "已结算 {settled} / {periods} 期"),
    "period": ("Period", "时段"),
    "latest": ("Latest", "最新"),
    "play": ("Play", "播放"),
    "pause": ("Pause", "暂停"),
    "period_label": ("Period {period}, {time}", "第 {period} 期，{time}"),
    "latest_label": ("Latest: period {period}, {time}", "最新：第 {period} 期，{time}"),
    "filter": ("Filter", "筛选"),
    "more": ("Show more", "显示更多"),
    "empty": ("Nothing yet.", "暂无数据。"),
    # States
    "waiting_heading": ("Nothing yet", "尚无数据"),
    "waiting_text": (
        "The page listens, and no ledger node has spoken. Trading starts once everybody is registered.",
        "页面正在监听，账本节点尚未发言。所有参与者注册后开始交易。",
    ),
    "loading_text": ("Reading the run folder.", "正在读取运行目录。"),
    "disconnected_heading": ("Disconnected", "连接已断开"),
    "disconnected_text": (
        "No broker answers. What you see is what was last heard; the page goes on when the broker is back.",
        "消息代理无响应。当前显示的是最后收到的信息；代理恢复后页面将自动继续。",
    ),
    "silent_heading": ("Silent for {seconds} s", "已 {seconds} 秒无消息"),
    "silent_text": (
        "The broker is there and the ledger nodes say nothing: between two periods, or too few of them run.",
        "代理在线，但账本节点没有消息：可能处于两个时段之间，或在线节点不足。",
    ),
    "ended_heading": ("The run has ended", "运行已结束"),
    "ended_text": (
        "{periods} periods were settled. Move the slider to look at any of them.",
        "共结算 {periods} 个时段。拖动滑块可查看任意时段。",
    ),
    "node_down_heading": ("Ledger node down: {names}", "账本节点离线：{names}"),
    "node_down_text": (
        "{alive} of {nodes} nodes run. The market goes on while {quorum} do.",
        "{nodes} 个节点中有 {alive} 个在线；只要 {quorum} 个在线，市场即可继续。",
    ),
    # Market
    "price": ("Price", "价格"),
    "mean_price": ("Price", "均价"),
    "traded": ("Traded", "成交"),
    "traded_energy": ("Energy traded", "成交电量"),
    "trades": ("Trades", "成交笔数"),
    "gain": ("Gain over the tariffs", "相对电价的收益"),
    "gain_hint": ("same meter readings, no market", "与无市场、相同电表读数相比"),
    "this_period": ("this period: {value}", "本时段：{value}"),
    "since_start": ("since the start: {value}", "累计：{value}"),
    "who_with_whom": ("Who trades with whom", "谁与谁交易"),
    "map_note": (
        "Each drop runs from a seller to a buyer. Shapes are roles, sizes are energy. Click somebody.",
        "光点由卖方流向买方。形状表示角色，大小表示电量。点击可查看详情。",
    ),
    "map_label": (
        "Map of {agents} agents in {regions} regions with {flows} flows of energy in period {period}",
        "第 {period} 期的地图：{regions} 个区域、{agents} 个参与者、{flows} 条能量流",
    ),
    "region_note": ("{price} · {energy} traded", "{price} · 成交 {energy}"),
    "region_quiet": ("no trade", "无成交"),
    "grid": ("grid", "电网"),
    "energy_flow": ("energy, seller to buyer", "能量，卖方到买方"),
    "charge": ("state of charge", "荷电状态"),
    "producer": ("producer", "发电商"),
    "consumer": ("consumer", "用户"),
    "prosumer": ("prosumer", "产消者"),
    "speculator": ("storage", "储能商"),
    "sold_sentence": ("sold {energy}", "卖出 {energy}"),
    "bought_sentence": ("bought {energy}", "买入 {energy}"),
    "idle_sentence": ("did not trade", "未成交"),
    "price_over_time": ("Price over time", "价格走势"),
    "price_note": (
        "To sellers: mean by energy and range. Between the tariffs both sides gain. Click to choose a period.",
        "卖方所得：电量加权均价与范围。介于两种电价之间时双方受益。点击选择时段。",
    ),
    "mean": ("mean", "均价"),
    "range": ("lowest to highest", "最低至最高"),
    "retail": ("retail tariff", "零售电价"),
    "feed_in": ("feed-in tariff", "上网电价"),
    "volumes": ("Volumes", "电量"),
    "volumes_note": ("Energy in each period: traded, bid and offered.", "每个时段的电量：成交、求购与报售。"),
    "bid": ("bid", "求购"),
    "offered": ("offered", "报售"),
    "curves": ("Supply and demand", "供需曲线"),
    "curves_note": (
        "The book that was cleared. With region priority neighbours trade first, so energy traded can lie beyond "
        "the crossing.",
        "本期出清的订单簿。区域优先时邻近者先成交，成交量可能超出交点。",
    ),
    "demand": ("demand", "需求"),
    "supply": ("supply", "供给"),
    "cleared": ("cleared", "出清点"),
    "standing_ask": ("grid's standing ask", "电网保底报价"),
    "book": ("Order book, period {period}", "第 {period} 期订单簿"),
    "book_note": (
        "{bids} bids, {asks} asks so far. Best bid {bid}, best ask {ask}.",
        "目前 {bids} 个买单、{asks} 个卖单。最高买价 {bid}，最低卖价 {ask}。",
    ),
    "book_ended": ("Orders as they stood when the period was cleared.", "出清时的订单。"),
    "bids": ("bids", "买单"),
    "asks": ("asks", "卖单"),
    "last_trades": ("Trades of the period", "本期成交"),
    "trades_note": (
        "{trades} trades, {energy}; {crossing} across regions.",
        "{trades} 笔，{energy}；跨区 {crossing}。",
    ),
    "seller": ("Seller", "卖方"),
    "buyer": ("Buyer", "买方"),
    "energy": ("Energy", "电量"),
    "fee": ("Crossing fee", "跨区费"),
    # Agents
    "all_agents": ("All participants", "全部参与者"),
    "all_agents_note": ("After the last settled period. Choose one.", "以最近结算时段为准。请选择。"),
    "name": ("Name", "名称"),
    "role": ("Role", "角色"),
    "region": ("Region", "区域"),
    "position": ("Position", "合约净量"),
    "metered": ("Metered", "计量"),
    "balance": ("Balance", "余额"),
    "reputation": ("Reputation", "信誉"),
    "stored": ("Stored", "储能"),
    "remained": ("Remained", "净收入"),
    "at_tariffs": ("At the tariffs", "按电价"),
    "gained": ("Gain", "收益"),
    "penalties": ("Penalties", "罚金"),
    "back": ("All participants", "返回列表"),
    "unknown_agent": ("Nobody is called {name}", "没有名为 {name} 的参与者"),
    "unknown_text": ("It is not in this run's deployment.", "不在本次运行的部署中。"),
    "last_order": ("Last order", "最近订单"),
    "buy": ("buy", "买"),
    "sell": ("sell", "卖"),
    "agent_energy": ("Forecast, contract, meter", "预测、合约、计量"),
    "agent_energy_note": (
        "What it expected to have over, what it sold less bought, and what the meter showed. The grid balances "
        "the difference.",
        "预期盈余、卖出减买入、以及电表读数。差额由电网平衡。",
    ),
    "no_forecast": (
        "Its forecast is known to its own host alone, which is on another machine.",
        "预测仅其主机知晓，位于另一台机器。",
    ),
    "forecast": ("forecast", "预测"),
    "contract": ("contract", "合约"),
    "meter": ("meter", "电表"),
    "agent_money": ("Money", "资金"),
    "agent_money_note": (
        "What it received less what it paid, beside the same meter readings at the grid's tariffs alone.",
        "收入减支出，并与相同读数仅按电网电价计算相比。",
    ),
    "with_market": ("with the market", "有市场"),
    "without_market": ("tariffs alone", "仅按电价"),
    "agent_battery": ("Battery and generation", "电池与发电"),
    "agent_battery_note": ("As its inverter reports.", "来自逆变器上报。"),
    "generation": ("generation", "发电"),
    "agent_reputation": ("Reputation", "信誉"),
    "agent_reputation_note": (
        "Delivered by agreed, smoothed (Cui 2022, eq. (2)).",
        "交付与约定之比，平滑（Cui 2022 式 (2)）。",
    ),
    "orders": ("Orders", "订单"),
    "orders_note": ("The last ones that the nodes answered.", "节点最近答复的订单。"),
    "side": ("Side", "方向"),
    "answer": ("Answer", "答复"),
    "accepted": ("accepted, no. {number}", "已接受，编号 {number}"),
    "partner": ("Partner", "对手方"),
    "agent_trades_note": ("In the period shown.", "所示时段内。"),
    # Ledger
    "ledger_health": ("The committee", "委员会"),
    "ledger_note": (
        "Each institution runs a node. {quorum} of {nodes} must agree on every block; {faults} may fail or lie.",
        "每家机构各运行一个节点。每个区块须 {quorum}/{nodes} 一致；可容忍 {faults} 个故障或作恶。",
    ),
    "online": ("online", "在线"),
    "offline": ("offline", "离线"),
    "starting": ("starting", "启动中"),
    "node_ended": ("ended", "已结束"),
    "unreadable": ("unreadable", "无法读取"),
    "unknown": ("not heard", "未收到"),
    "catching_up": ("{blocks} behind", "落后 {blocks} 块"),
    "primary": ("primary", "主节点"),
    "backup": ("backup", "备份"),
    "duty": ("Duty", "职责"),
    "view": ("View", "视图"),
    "height": ("Height", "高度"),
    "commit": ("Block to news", "区块到通知"),
    "commit_hint": ("median, slowest", "中位、最慢"),
    "state_root": ("State root", "状态根"),
    "checkpoint": ("Checkpoint", "检查点"),
    "evidence": ("Evidence", "作恶证据"),
    "none": ("none", "无"),
    "against": ("{count} against {names}", "{count} 条，针对 {names}"),
    "transactions": ("Transactions", "交易"),
    "per_second": ("Transactions a second", "每秒交易数"),
    "in_ten_seconds": ("over the last 10 s", "最近 10 秒"),
    "answered_in": ("Answered within", "答复时间"),
    "answered_hint": ("from the bus to f + 1 equal receipts", "从总线到 f + 1 份相同回执"),
    "refused": ("Refused", "被拒绝"),
    "refused_hint": ("answered with a reason", "附原因答复"),
    "block_load": ("Transactions in each block", "每块交易数"),
    "block_load_note": ("Newest on the right. Click one.", "最新在右。点击查看。"),
    "blocks": ("Blocks", "区块"),
    "blocks_note": ("As f + 1 nodes announced them.", "以 f + 1 个节点一致公布为准。"),
    "block": ("Block", "区块"),
    "time": ("Time", "时间"),
    "hash": ("Hash", "哈希"),
    "proposer": ("Proposer", "提议者"),
    "certified_by": ("Certified by", "签署者"),
    "previous": ("Previous block", "前一区块"),
    "next": ("Next block", "后一区块"),
    "transaction_root": ("Transaction root", "交易根"),
    "verified": ("verified in this page's process", "已由本页面进程验证"),
    "not_verified": ("not verified: {reason}", "未通过验证：{reason}"),
    "certificate": ("Certificate", "证书"),
    "transactions_of": ("Transactions of block {height}", "区块 {height} 的交易"),
    "kind": ("Kind", "类型"),
    "signer": ("Signer", "签名者"),
    "transaction": ("Transaction", "交易"),
    "receipt": ("Receipt", "回执"),
    "proof": ("Proof", "证明"),
    "save_proof": ("Save the proof", "下载证明"),
    "proof_note": (
        "With committee.json and this file anybody can verify it: gridbazaar ledger verify.",
        "任何人凭 committee.json 与此文件即可验证：gridbazaar ledger verify。",
    ),
    "back_ledger": ("Ledger", "返回账本"),
    "no_ledger": ("No ledger to look into", "无账本可查看"),
    "no_ledger_text": (
        "Blocks are opened from a ledger file in the run folder, and here is none that can be read: {reason}",
        "区块从运行目录中的账本文件读取，此处没有可读取的文件：{reason}",
    ),
    "node": ("Node", "节点"),
    "file": ("Ledger file", "账本文件"),
    "recovering": ("Votes may be lost", "投票可能丢失"),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    # Devices
    "meters": ("Meters", "电表"),
    "meters_note": (
        "Signed cumulative registers, as the ledger accepted them. Real ones come through a gateway.",
        "账本接受的、带签名的累计读数。真实电表通过网关接入。",
    ),
    "meter_id": ("Meter", "电表"),
    "owner": ("Owner", "所有者"),
    "type": ("Type", "类型"),
    "simulated": ("simulated", "仿真"),
    "real": ("real", "真实"),
    "import": ("Import", "用电"),
    "export": ("Export", "上网"),
    "last_reading": ("Last reading", "最近读数"),
    "age": ("Age", "间隔"),
    "quality": ("Quality", "质量"),
    "good": ("good", "良好"),
    "gateway": ("gateway", "网关"),
    "reset": ("reset", "已重置"),
    "gap": ("gap", "缺失"),
    "interpolated": ("interpolated", "插值"),
    "rolled_over": ("rolled over", "已翻转"),
    "signal": ("Signal", "信号"),
    "signal_ok": ("ok", "正常"),
    "signal_late": ("{periods} periods late", "迟到 {periods} 期"),
    "signal_lost": ("lost", "丢失"),
    "missed": ("Missed", "漏读"),
    "never": ("never", "从未"),
    "inverters": ("Inverters", "逆变器"),
    "inverters_note": (
        "What each tells of itself after a period. Those with a battery follow the contract.",
        "每个时段后自报。带电池的逆变器按合约执行。",
    ),
    "device": ("Device", "设备"),
    "charged": ("Charged", "充电"),
    "discharged": ("Discharged", "放电"),
    "devices_heard": ("Meters heard", "已接收电表"),
    "storage_all": ("Stored in all batteries", "全部电池储能"),
    "generation_all": ("Generation", "发电"),
    "seconds_ago": ("{seconds} s", "{seconds} 秒"),
    # Evaluation
    "technology": ("Technology", "技术"),
    "economy": ("Economy", "经济"),
    "market_dimension": ("Market", "市场"),
    "evaluation_note": (
        "Chen's three dimensions, over {periods} settled periods; each number with its definition.",
        "按 Chen 的三个维度，覆盖 {periods} 个已结算时段；每个数字附定义。",
    ),
    "evaluate": ("Evaluate again", "重新评估"),
    "evaluating": (
        "Evaluating: the same community lives through the periods once more without a market.",
        "评估中：同一社区在无市场条件下重新运行这些时段。",
    ),
    "evaluation_failed": ("Cannot be evaluated", "无法评估"),
    "evaluation_later": ("Nothing was settled yet.", "尚无已结算时段。"),
    "without": ("Without a market", "无市场"),
    "with": ("With the market", "有市场"),
    "difference": ("Difference", "差异"),
    "points": ("% points", "个百分点"),
    "measure": ("Measure", "指标"),
    "value": ("Value", "数值"),
    "definition": ("Definition", "定义"),
    "comparison": ("The same community, with the market and without", "同一社区：有市场与无市场"),
    "comparison_note": (
        "Money stands beside percentages: a percentage of a bill near zero says little.",
        "百分比旁列出金额：账单接近零时百分比意义不大。",
    ),
    "cost": ("Community's cost", "社区成本"),
    "absorption": ("PV absorption, local", "光伏本地消纳率"),
    "sufficiency": ("Self-sufficiency", "自给率"),
    "consumption": ("Self-consumption", "自用率"),
    "peak_gap": ("Peak-valley gap", "峰谷差"),
    "median_saving": ("Median saving", "节省中位数"),
    "worse_off": ("Worse off", "受损比例"),
    "coupling_figure": ("Power at the coupling point", "并网点功率"),
    "money_figure": ("Who earned and paid what", "收支明细"),
    "missing": ("What is missing", "缺失内容"),
    "foot": (
        "Everything here is what at least {threshold} of {nodes} ledger nodes say alike. The page only listens.",
        "此处内容均由 {nodes} 个账本节点中至少 {threshold} 个一致声明。本页面只监听、不发送。",
    ),
}


class Words:
    """The words of one language: `words("traded")`, `words("settled_of", settled=3, periods=96)`."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._index = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key. A key that is not in the table is a bug, and a KeyError."""
        text = _WORDS[key][self._index]
        return text.format(**values) if values else text


def language_of(accepted: str) -> Language:
    """The language that a browser's `Accept-Language` asks for first among ours."""
    for part in accepted.lower().split(","):
        for language in LANGUAGES:
            if part.strip().startswith(language):
                return language
    return "en"


def keys() -> tuple[str, ...]:
    """All keys, for tests."""
    return tuple(_WORDS)
